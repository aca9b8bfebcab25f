//! A table for the terminal: columns as wide as their content, one of them giving way to the width of the screen.

use anstyle::Style;

use crate::text::{columns, shorten};

/// One cell: harmless text, its colour, its side.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    style: Style,
    right: bool,
}

impl Cell {
    pub(crate) fn left(text: impl Into<String>) -> Self {
        Self { text: text.into(), style: Style::new(), right: false }
    }

    pub(crate) fn right(text: impl Into<String>) -> Self {
        Self { right: true, ..Self::left(text) }
    }

    pub(crate) fn style(self, style: Style) -> Self {
        Self { style, ..self }
    }
}

/// The lines of a table, two spaces between columns. Where it is wider than `width`, the cells of column `elastic`
/// are shortened, down to twelve columns; escape sequences only with `colour`.
pub(crate) fn render(rows: &[Vec<Cell>], elastic: usize, width: usize, colour: bool) -> Vec<String> {
    let widths = widths(rows, elastic, width);
    rows.iter().map(|row| line(row, &widths, colour)).collect()
}

/// The columns that [`render`] gives to each column of a table.
pub(crate) fn widths(rows: &[Vec<Cell>], elastic: usize, width: usize) -> Vec<usize> {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut widths: Vec<usize> = (0..count)
        .map(|column| {
            rows.iter().filter_map(|row| row.get(column)).map(|c| columns(&c.text)).max().unwrap_or(0)
        })
        .collect();
    let surplus = total(&widths).saturating_sub(width);
    if let Some(column) = widths.get_mut(elastic) {
        let least = 12.min(*column);
        *column = column.saturating_sub(surplus).max(least);
    }
    widths
}

/// The columns of a whole table.
pub(crate) fn total(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1)
}

/// A line above a table that says what some columns from one on are about.
pub(crate) fn captions(widths: &[usize], captions: &[(usize, &str)]) -> String {
    let mut line = String::new();
    for &(column, caption) in captions {
        let start = widths.iter().take(column).map(|width| width + 2).sum::<usize>();
        let gap = if line.is_empty() { 0 } else { 2 };
        line += &" ".repeat(start.saturating_sub(columns(&line)).max(gap));
        line += caption;
    }
    line
}

fn line(row: &[Cell], widths: &[usize], colour: bool) -> String {
    let mut line = String::new();
    for (position, (cell, &width)) in row.iter().zip(widths).enumerate() {
        let text = shorten(&cell.text, width);
        let padding = " ".repeat(width - columns(&text).min(width));
        let text = if colour { format!("{}{text}{:#}", cell.style, cell.style) } else { text };
        if position > 0 {
            line.push_str("  ");
        }
        let (before, after) = if cell.right { (padding, String::new()) } else { (String::new(), padding) };
        line.extend([before, text, after]);
    }
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Vec<Cell>> {
        let row = |a: &str, b: &str| vec![Cell::left(a), Cell::right(b)];
        vec![row("name", "n"), row("a long name that gives way", "12,345")]
    }

    #[test]
    fn columns_align_and_the_elastic_one_gives_way() {
        assert_eq!(render(&rows(), 0, 80, false)[0], "name                             n");
        assert_eq!(render(&rows(), 0, 20, false), ["name               n", "a long…s way  12,345"]);
    }

    #[test]
    fn captions_stand_over_their_columns() {
        let widths = widths(&rows(), 0, 20);
        assert_eq!((widths.as_slice(), total(&widths)), ([12, 6].as_slice(), 20));
        assert_eq!(captions(&widths, &[(0, "what"), (1, "how many")]), "what          how many");
        assert_eq!(
            captions(&widths, &[(0, "what it is about"), (1, "how many")]),
            "what it is about  how many"
        );
    }

    #[test]
    fn colour_does_not_move_anything() {
        let styled = vec![vec![Cell::left("a").style(Style::new().bold()), Cell::left("b")]];
        assert_eq!(
            render(&styled, 0, 80, true),
            ["\u{1b}[1ma\u{1b}[0m  \u{1b}[0mb".replace("\u{1b}[0mb", "b")]
        );
        assert_eq!(render(&styled, 0, 80, false), ["a  b"]);
    }
}
