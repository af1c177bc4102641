//! A table of text, as wide as what is in it.

use std::fmt::Write as _;

/// Appends it to `out`: the heads, then a line for each row; or that there is none of what the first head names.
pub(crate) fn columns<const N: usize>(out: &mut String, heads: [&str; N], rows: Vec<[String; N]>) {
    if rows.is_empty() {
        writeln!(out, "  no {}s", heads[0].to_lowercase()).ok();
        return;
    }
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([heads[column].len()]).max().unwrap_or_default()
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let heads = heads.map(str::to_owned);
    for row in std::iter::once(&heads).chain(&rows) {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        writeln!(out, "  {}", cells.collect::<Vec<_>>().join("  ").trim_end()).ok();
    }
}
