//! Tables, laid out as docker does it.

use super::text::clean;

/// The blanks between two columns.
const GAP: usize = 3;

/// The least that a column takes, its gap included.
const LEAST: usize = 10;

/// A table with a heading. It is made row by row and printed at once.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table that has nothing but its heading.
    pub(crate) fn new(heading: &[&str]) -> Self {
        Self { rows: vec![heading.iter().map(|cell| (*cell).to_owned()).collect()] }
    }

    /// Adds a row. Its cells are made safe for a screen.
    pub(crate) fn row<const N: usize>(&mut self, cells: [&str; N]) {
        self.rows.push(cells.iter().map(|cell| clean(cell).into_owned()).collect());
    }

    /// Adds a row of any length.
    pub(crate) fn cells<'a>(&mut self, cells: impl IntoIterator<Item = &'a str>) {
        self.rows.push(cells.into_iter().map(|cell| clean(cell).into_owned()).collect());
    }

    /// The lines of the table, without the last line end. No line ends in blanks.
    pub(crate) fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let widest = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell)).max();
                LEAST.max(widest.unwrap_or(0) + GAP)
            })
            .collect();
        let lines: Vec<String> = self
            .rows
            .iter()
            .map(|row| {
                let mut line = String::new();
                for (column, cell) in row.iter().enumerate() {
                    line.push_str(cell);
                    if column + 1 < row.len() {
                        line.push_str(&" ".repeat(widths[column] - width(cell)));
                    }
                }
                line.trim_end().to_owned()
            })
            .collect();
        lines.join("\n")
    }
}

/// Columns of the screen: one a character, which holds for all that names, numbers and digests are made of.
fn width(cell: &str) -> usize {
    cell.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["REPOSITORY", "TAG", "SIZE"]);
        table.row(["alpine", "3.20", "7.8MB"]);
        table.row(["localhost:5000/a/long/name", "é", "351B"]);
        insta::assert_snapshot!(table.text(), @r"
        REPOSITORY                   TAG       SIZE
        alpine                       3.20      7.8MB
        localhost:5000/a/long/name   é         351B
        ");
    }

    #[test]
    fn a_cell_can_not_break_its_row() {
        let mut table = Table::new(&["A", "B"]);
        table.row(["x\ny", "\u{1b}[2J"]);
        assert_eq!(table.text(), "A         B\nx\\ny      \\u{1b}[2J");
    }

    #[test]
    fn a_table_without_rows_is_its_heading() {
        assert_eq!(Table::new(&["A", "B"]).text(), "A         B");
    }
}
