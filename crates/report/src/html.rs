//! The report as one self-contained page: no script, no external resource, light and dark.

mod cards;
mod growth;
mod peers;
mod view;

use askama::Template;
use checkpoint_spec::Results;

use view::Page;

/// Renders a run as a page of HTML. Every text is escaped by the template, after it has been made harmless.
pub fn html(results: &Results) -> Result<String, askama::Error> {
    Ok(Page::new(results).render()? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn hostile_text_is_escaped() {
        let page = html(&fixtures::incomplete()).unwrap();
        assert!(!page.contains("<script") && !page.contains('\u{1b}'));
        assert!(page.contains("&#60;script&#62;alert(1)"), "{page}");
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        for results in
            [fixtures::passing(), fixtures::failing_on_values(), fixtures::unreadable(), fixtures::growing()]
        {
            let page = html(&results).unwrap();
            for outside in ["http:", "https:", "src=", "href=", "@import", "url("] {
                assert!(!page.contains(outside), "{outside}");
            }
            assert!(page.contains("default-src 'none'"));
        }
    }

    #[test]
    fn the_page_says_what_was_compared() {
        let page = html(&fixtures::failing_on_shape()).unwrap();
        assert!(page.contains("compared 5 of 6 required activations"));
        let divergence = page.split("First divergence").nth(1).unwrap().split("</section>").next().unwrap();
        assert!(divergence.contains("[12, 12, 64]") && !divergence.contains("max abs"), "{divergence}");
    }

    #[test]
    fn budgets_stand_side_by_side_and_what_breaks_one_is_told() {
        let page = html(&fixtures::failing_on_values()).unwrap();
        let budgets = page.split("Rounding budgets").nth(1).unwrap().split("</div>").next().unwrap();
        assert!(budgets.contains("13.1×") && budgets.contains("20.0 %"), "{budgets}");
        let divergence = page.split("First divergence").nth(1).unwrap().split("</section>").next().unwrap();
        for word in ["13.1× of the rounding budget used", "[0, 0, 5]", "inputs"] {
            assert!(divergence.contains(word), "{word} in {divergence}");
        }
        assert!(
            html(&fixtures::failing_on_systematic()).unwrap().contains("output uniformly × (1 +2.00e-6)")
        );
        assert!(html(&fixtures::failing_on_chain()).unwrap().contains("5.00× of the 4.50e-9"));
    }

    #[test]
    fn voices_are_named_and_a_ceiling_that_is_passed_decides_nothing() {
        let page = html(&fixtures::over_ceiling()).unwrap();
        for words in
            ["graph@f64: the family", "torch@f32 is over the classic ceiling of 06 too: it decides nothing"]
        {
            assert!(page.contains(words), "{words} in {page}");
        }
        assert!(!html(&fixtures::passing()).unwrap().contains("over the classic ceiling"));
    }

    #[test]
    fn what_is_not_the_same_again_is_named() {
        let page = html(&fixtures::not_deterministic()).unwrap();
        assert!(page.contains("Not the same bits again"), "{page}");
        assert!(!html(&fixtures::passing()).unwrap().contains("Not the same bits again"));
    }

    #[test]
    fn a_broken_law_is_named() {
        let page = html(&fixtures::acausal()).unwrap();
        assert!(page.contains("Laws broken") && page.contains("position 2"), "{page}");
        assert!(!html(&fixtures::passing()).unwrap().contains("Laws broken"));
    }

    #[test]
    fn the_growth_of_the_error_is_drawn() {
        let page = html(&fixtures::growing()).unwrap();
        let plot = page.split("<svg").nth(1).unwrap().split("</svg>").next().unwrap();
        insta::assert_snapshot!(plot);
        assert!(!html(&fixtures::passing()).unwrap().contains("<svg"));
    }

    #[test]
    fn every_record_renders() {
        for results in [fixtures::passing(), fixtures::failing_on_values(), fixtures::incomplete()] {
            assert!(html(&results).unwrap().ends_with("</html>\n"));
        }
    }
}
