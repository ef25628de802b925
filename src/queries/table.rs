//! The table of `--list`.
//!
//! This module owns its layout. It never prints.

use std::fmt::Write;

use skypipe_protocol::PipeInfo;
use skypipe_protocol::text::pipe_cell;

use crate::output::padded;

const HEAD: [&str; 5] = ["PIPE", "WAITING", "BYTES", "WRITERS", "LISTENERS"];

/// One row for each pipe, names left-aligned and numbers right-aligned. A row ends with `full` if writers
/// wait because room is used up.
pub fn table<'a>(pipes: impl Iterator<Item = &'a PipeInfo>) -> String {
    let mut rows = vec![(HEAD.map(str::to_owned), "")];
    rows.extend(pipes.map(row));
    let mut widths = [0; HEAD.len()];
    for (cells, _) in &rows {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = cell.chars().count().max(*width);
        }
    }
    rows.iter()
        .map(|(cells, note)| line(cells, widths, note))
        .collect()
}

fn row(pipe: &PipeInfo) -> ([String; HEAD.len()], &'static str) {
    let [waiting, bytes, writers, listeners] =
        [pipe.waiting, pipe.bytes, pipe.writers, pipe.listeners].map(|number| number.to_string());
    let cells = [pipe_cell(&pipe.name), waiting, bytes, writers, listeners];
    (cells, if pipe.full { "full" } else { "" })
}

fn line(cells: &[String; HEAD.len()], widths: [usize; HEAD.len()], note: &str) -> String {
    let [name, numbers @ ..] = cells;
    let [first, others @ ..] = widths;
    let mut line = padded(name, first);
    for (cell, width) in numbers.iter().zip(others) {
        let _ = write!(line, "  {cell:>width$}");
    }
    line.push_str("  ");
    line.push_str(note);
    format!("{}\n", line.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_be_longer_than_any_formatter_takes() {
        let pipe = PipeInfo {
            name: "\u{7}".repeat(20_000),
            waiting: 1,
            bytes: 1,
            writers: 1,
            listeners: 1,
            full: false,
        };
        assert!(table([&pipe].into_iter()).len() > 2 * usize::from(u16::MAX));
    }

    #[test]
    fn columns_are_aligned() {
        let pipe = |name: &str, bytes, full| PipeInfo {
            name: name.to_owned(),
            waiting: 1,
            bytes,
            writers: 2,
            listeners: 0,
            full,
        };
        let pipes = [pipe("", 7, false), pipe("größenordnung", 123_456_789, true)];
        let expected = "\
PIPE           WAITING      BYTES  WRITERS  LISTENERS
(default)            1          7        2          0
größenordnung        1  123456789        2          0  full
";
        assert_eq!(table(pipes.iter()), expected);
        assert_eq!(
            table([].iter()),
            "PIPE  WAITING  BYTES  WRITERS  LISTENERS\n"
        );
    }
}
