//! Pictures that users have on the server's machine: read when the model is asked, so that a thread's log holds their
//! place and not their bytes.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use verger_model::{InputItem, Part};

/// What the address of such a picture begins with, until it is read.
const LOCAL: &str = "local:";

/// The largest file that is sent.
const MAX_FILE: u64 = 16 << 20;

/// As much is sent with one question, in bytes of files; what is newest comes first.
const MAX_ALL: u64 = 48 << 20;

/// Stands for a picture until [`load`] reads it.
pub(super) fn local(path: &str, detail: Option<String>) -> Part {
    Part::Image { url: format!("{LOCAL}{path}"), detail }
}

/// Reads every picture that is still a place, relative to `folder`. In the stead of one that cannot be read the model is
/// told why, so that it can tell its user.
pub(super) async fn load(mut input: Vec<InputItem>, folder: PathBuf) -> Vec<InputItem> {
    if !parts(&mut input).any(|part| place(part).is_some()) {
        return input;
    }
    let reading = tokio::task::spawn_blocking(move || {
        let mut left = MAX_ALL;
        for part in parts(&mut input).rev() {
            let Some(path) = place(part) else { continue };
            let read = read(&folder.join(&path), left).inspect(|picture| left -= picture.bytes);
            *part = match (read, &*part) {
                (Ok(Picture { url, .. }), Part::Image { detail, .. }) => {
                    Part::Image { url, detail: detail.clone() }
                }
                (Err(error), _) => Part::Text(format!("[image {path}: {error}; not sent to the model]")),
                (Ok(_), _) => continue,
            };
        }
        input
    });
    reading.await.unwrap_or_else(|error| {
        // It has no await and is never aborted: it panicked, and its hook has said so.
        tracing::error!(%error, "pictures were not read");
        Vec::new()
    })
}

/// Why a picture is not sent.
#[derive(Debug, thiserror::Error)]
enum Unsent {
    #[error("{0}")]
    Unreadable(#[from] io::Error),
    #[error("not a file")]
    NoFile,
    #[error("larger than {} MiB", MAX_FILE >> 20)]
    TooLarge,
    #[error("newer images take all the room that a question has for them, {} MiB", MAX_ALL >> 20)]
    NoRoom,
    #[error("not a PNG, JPEG, GIF or WebP image")]
    Unknown,
}

struct Picture {
    url: String,
    bytes: u64,
}

fn read(path: &Path, left: u64) -> Result<Picture, Unsent> {
    // Before it is opened: opening a pipe would wait for its other end.
    let found = path.metadata()?;
    if !found.is_file() {
        return Err(Unsent::NoFile);
    }
    if found.len() > MAX_FILE {
        return Err(Unsent::TooLarge);
    }
    if found.len() > left {
        return Err(Unsent::NoRoom);
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(found.len()).read_to_end(&mut bytes)?;
    let kind = kind(&bytes).ok_or(Unsent::Unknown)?;
    let url = format!("data:image/{kind};base64,{}", STANDARD.encode(&bytes));
    Ok(Picture { url, bytes: found.len() })
}

/// What a picture's first bytes say that it is; its name may say anything.
fn kind(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some("png"),
        [0xff, 0xd8, 0xff, ..] => Some("jpeg"),
        [b'G', b'I', b'F', b'8', ..] => Some("gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("webp"),
        _ => None,
    }
}

fn place(part: &Part) -> Option<String> {
    match part {
        Part::Image { url, .. } => url.strip_prefix(LOCAL).map(str::to_owned),
        _ => None,
    }
}

/// Every piece of what the user said.
fn parts(input: &mut [InputItem]) -> impl DoubleEndedIterator<Item = &mut Part> {
    input.iter_mut().flat_map(|item| match item {
        InputItem::UserMessage { content } => content.as_mut_slice(),
        _ => &mut [],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\nand so on";

    async fn sent(folder: &Path, paths: &[&str]) -> Vec<String> {
        let content = paths.iter().map(|path| local(path, Some("low".into()))).collect();
        let input = load(vec![InputItem::UserMessage { content }], folder.to_owned()).await;
        let InputItem::UserMessage { content } = &input[0] else { panic!("{input:?}") };
        content
            .iter()
            .map(|part| match part {
                Part::Image { url, detail } => {
                    assert_eq!(detail.as_deref(), Some("low"));
                    url.clone()
                }
                Part::Text(text) => text.clone(),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[tokio::test]
    async fn a_picture_is_what_its_bytes_say_and_relative_to_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let pictures: [(&str, &[u8]); 4] = [
            ("png", PNG),
            ("jpeg", b"\xff\xd8\xff\xe0"),
            ("gif", b"GIF89a"),
            ("webp", b"RIFF\0\0\0\0WEBPVP8 "),
        ];
        for (kind, bytes) in pictures {
            let name = format!("misnamed-{kind}.txt");
            std::fs::write(folder.path().join(&name), bytes).unwrap();
            let url = format!("data:image/{kind};base64,{}", STANDARD.encode(bytes));
            let whole = folder.path().join(&name).display().to_string();
            assert_eq!(sent(folder.path(), &[&name, &whole]).await, [url.clone(), url]);
        }
    }

    #[tokio::test]
    async fn what_cannot_be_sent_says_why() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("words.png"), "words").unwrap();
        File::create(folder.path().join("large.png")).unwrap().set_len(MAX_FILE + 1).unwrap();
        let told = sent(folder.path(), &["none.png", ".", "words.png", "large.png"]).await;
        let why = ["No such file", "not a file", "not a PNG", "larger than 16 MiB"];
        for (told, why) in told.iter().zip(why) {
            assert!(told.contains(why) && told.contains("not sent to the model"), "{told}");
        }
    }

    #[tokio::test]
    async fn the_newest_have_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.png");
        std::fs::write(&path, PNG).unwrap();
        File::options().write(true).open(&path).unwrap().set_len(MAX_FILE).unwrap();
        let told = sent(folder.path(), &["large.png"; 4]).await;
        let images: Vec<_> = told.iter().map(|told| told.starts_with("data:")).collect();
        assert_eq!(images, [false, true, true, true]);
        assert!(told[0].contains("newer images"), "{:.100}", told[0]);
    }
}
