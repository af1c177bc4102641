//! Where in the file a key stands.

use toml::Spanned;
use toml::de::DeTable;

/// The line of a dotted key, or of as much of it as exists; `None` where the text is no TOML or the first part is
/// missing. Keys whose names hold dots are not found, which costs no more than the line.
pub(super) fn line_of_key(text: &str, key: &str) -> Option<usize> {
    let whole = DeTable::parse(text).ok()?;
    let mut table = Some(whole.get_ref());
    let mut at = None;
    for part in key.split('.') {
        let Some((name, value)) = table.and_then(|t| t.iter().find(|(name, _)| name.get_ref() == part))
        else {
            break;
        };
        at = Some(name.span().start);
        table = Spanned::get_ref(value).as_table();
    }
    at.map(|at| line_at(text, at))
}

/// The line, counted from 1, in which byte `at` of the text stands.
pub(super) fn line_at(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}
