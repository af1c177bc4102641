//! Where in the file a key stands.

use std::ops::Range;

use toml::Spanned;
use toml::de::DeTable;
use verger_wire::{TextPosition, TextRange};

use super::key::Key;

/// The bytes of a key's name, or of the name of the innermost table that should hold it, and whether all of it was found;
/// `None` where not even its first part was.
pub(super) fn find(document: &DeTable<'_>, key: &Key) -> Option<(Range<usize>, bool)> {
    let mut table = Some(document);
    let mut found = None;
    for (at, part) in key.0.iter().enumerate() {
        let Some((name, value)) = table.and_then(|t| t.iter().find(|(name, _)| name.get_ref() == part))
        else {
            break;
        };
        found = Some((name.span(), at + 1 == key.0.len()));
        table = Spanned::get_ref(value).as_table();
    }
    found
}

/// The line, counted from 1, in which byte `at` of the text stands.
pub(super) fn line_at(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// The same as clients take it: lines and columns from 1, columns in characters.
pub(super) fn range(text: &str, bytes: Range<usize>) -> TextRange {
    let position = |at: usize| {
        let before = text.get(..at).unwrap_or(text);
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        TextPosition { line: line_at(text, at), column }
    };
    TextRange { start: position(bytes.start), end: position(bytes.end) }
}
