//! Text from outside, made harmless: names and messages come from programs under test.

use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory};
use icu_properties::{CodePointMapData, CodePointSetData};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// One line. Control characters, invisible characters and those that reorder what is read are shown as escapes
/// (`\n`, `\u{1b}`), so that nothing can clear a line, colour itself or pose as another line.
pub fn plain(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_deceptive(c) { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    safe
}

/// The lines of a longer text, each [`plain`], and none that a CI would obey on standard output: those of GitHub begin
/// with `::`, blanks before it or not, and older ones hold `##[`.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = String> {
    text.trim_end().lines().map(|line| {
        let line = plain(line).replace("##[", "\\u{23}#[");
        if line.trim_start().starts_with("::") { line.replacen(':', "\\u{3a}", 1) } else { line }
    })
}

fn is_deceptive(c: char) -> bool {
    use GeneralCategory::{Control, Format, LineSeparator, ParagraphSeparator};
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    matches!(category, Control | Format | LineSeparator | ParagraphSeparator)
        || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

/// Columns that a text takes on a terminal.
pub(crate) fn columns(text: &str) -> usize {
    text.width()
}

/// At most `width` columns; the middle gives way to `…`, as both ends of a name tell something.
pub(crate) fn shorten(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let keep = width.saturating_sub(1);
    let tail: String = fitting(text.chars().rev(), keep / 2).into_iter().rev().collect();
    let head: String = fitting(text.chars(), keep - columns(&tail)).into_iter().collect();
    format!("{head}…{tail}")
}

/// Lines of at most `width` columns, broken at spaces. A longer word stays whole, so that it can be copied.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut wrapped = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.is_empty() && columns(&line) + 1 + columns(word) > width {
            wrapped.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    wrapped.push(line);
    wrapped
}

fn fitting(chars: impl Iterator<Item = char>, width: usize) -> Vec<char> {
    let mut used = 0;
    chars
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used <= width
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_shown_and_what_is_seen_is_left() {
        for hidden in
            ['\u{61c}', '\u{2066}', '\u{feff}', '\u{fffa}', '\u{e0041}', '\u{2065}', '\u{ad}', '\u{3164}']
        {
            assert_eq!(plain(&hidden.to_string()), hidden.escape_unicode().to_string());
        }
        let seen = "Größe 2⁻²⁴ ≤ κ·√n … 模型 🙂";
        assert_eq!(plain(seen), seen);
    }

    #[test]
    fn nothing_deceptive_is_left() {
        assert_eq!(
            plain("a\u{1b}[2J\r\nb\u{9b}31m\u{202e}x\u{200b}"),
            r"a\u{1b}[2J\r\nb\u{9b}31m\u{202e}x\u{200b}"
        );
        assert_eq!(plain("naïve 漢字 √n ≤ 1"), "naïve 漢字 √n ≤ 1");
        assert_eq!(lines("a\r\nb\tc\n\n").collect::<Vec<_>>(), ["a", r"b\tc"]);
    }

    #[test]
    fn no_line_is_a_command_to_a_ci() {
        let text = "::error::owned\n \t::stop-commands::x\na ##[add-mask]b\nstd::fmt::Error";
        let found: Vec<String> = lines(text).collect();
        assert_eq!(found[0], "\\u{3a}:error::owned");
        assert_eq!(found[2], "a \\u{23}#[add-mask]b");
        assert_eq!(found[3], "std::fmt::Error");
        assert!(found.iter().all(|line| !line.trim_start().starts_with("::")), "{found:?}");
    }

    #[test]
    fn shortened_text_fits_and_keeps_both_ends() {
        assert_eq!(shorten("paragraph step0/h.3.attn.q", 11), "parag…ttn.q");
        assert_eq!(shorten("short", 5), "short");
        assert_eq!(columns(&shorten("漢字漢字漢字", 6)), 5);
        assert_eq!(shorten("abc", 1), "…");
    }

    #[test]
    fn wrapping_breaks_at_spaces_only() {
        assert_eq!(wrap("aa bb cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrap("a/very/long/path x", 4), ["a/very/long/path", "x"]);
        assert_eq!(wrap("", 4), [""]);
    }
}
