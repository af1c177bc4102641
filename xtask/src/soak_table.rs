//! A Markdown file of tables that grow by a row at a time.

/// Adds a row below the newest table under `## heading`. A heading that is not there yet, and figures that are not
/// those of that table, begin a new table: old rows are never rewritten.
pub(crate) fn add_row(text: &str, heading: &str, cells: &[(String, String)]) -> String {
    let title = format!("## {heading}");
    let header = line(cells.iter().map(|(name, _)| name.as_str()));
    let row = line(cells.iter().map(|(_, value)| value.as_str()));
    let rule = line(cells.iter().map(|_| "---"));
    let mut lines: Vec<&str> = text.trim_end().lines().collect();
    let Some(start) = lines.iter().position(|line| *line == title) else {
        lines.extend(["", &title, "", &header, &rule, &row]);
        return join(&lines);
    };
    let end = lines[start + 1..].iter().position(|line| line.starts_with("## ")).map(|at| start + 1 + at);
    let mut end = end.unwrap_or(lines.len());
    while lines[end - 1].is_empty() {
        end -= 1;
    }
    let newest =
        lines[start..end].windows(2).rev().find(|pair| pair[1].starts_with("| --- |")).map(|pair| pair[0]);
    let added = if newest == Some(&header) { vec![row.as_str()] } else { vec!["", &header, &rule, &row] };
    lines.splice(end..end, added);
    join(&lines)
}

fn line<'a>(cells: impl Iterator<Item = &'a str>) -> String {
    cells.fold("|".to_owned(), |line, cell| format!("{line} {} |", cell.replace('|', "\\|")))
}

fn join(lines: &[&str]) -> String {
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_row_joins_its_own_table_and_new_figures_begin_another() {
        let text = add_row("# Long runs\n", "kills", &cells(&[("date", "1"), ("lost", "0")]));
        let text = add_row(&text, "switches", &cells(&[("date", "1"), ("rss", "9")]));
        let text = add_row(&text, "kills", &cells(&[("date", "2"), ("lost", "0")]));
        let text = add_row(&text, "kills", &cells(&[("date", "3"), ("late", "a|b")]));
        let text = add_row(&text, "kills", &cells(&[("date", "4"), ("late", "0")]));
        let text = add_row(&text, "switches", &cells(&[("date", "5"), ("rss", "8")]));
        let expected = "\
# Long runs

## kills

| date | lost |
| --- | --- |
| 1 | 0 |
| 2 | 0 |

| date | late |
| --- | --- |
| 3 | a\\|b |
| 4 | 0 |

## switches

| date | rss |
| --- | --- |
| 1 | 9 |
| 5 | 8 |
";
        assert_eq!(text, expected);
    }
}
