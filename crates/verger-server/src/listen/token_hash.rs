//! A token, known by its SHA-256 alone: what a server is given, or keeps, cannot be presented to it.

use std::str::FromStr;

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use subtle::ConstantTimeEq;

/// The SHA-256 of the token that clients present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenHash([u8; SHA256_OUTPUT_LEN]);

/// Why a text is no SHA-256. It is not repeated: somebody may have written the token itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHash {
    /// Too few characters, or too many.
    #[error("a SHA-256 has 64 hexadecimal digits, this has {0} characters; {HOW}")]
    Length(usize),
    /// As many as there should be, and not all of them digits.
    #[error("a SHA-256 has hexadecimal digits only, this has something else at character {0}; {HOW}")]
    Digit(usize),
}

/// How one comes by the right text, without the token on a command line.
const HOW: &str = "write what `tr -d '\\n' < FILE | sha256sum` prints, where FILE holds the token";

impl TokenHash {
    pub(crate) fn of(token: &str) -> Self {
        let mut hash = [0; SHA256_OUTPUT_LEN];
        hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(hash)
    }

    /// Whether it is this one's token. In constant time, whatever was presented and however long it is.
    pub(super) fn is_of(&self, presented: &str) -> bool {
        Self::of(presented).0.ct_eq(&self.0).into()
    }
}

impl FromStr for TokenHash {
    type Err = BadHash;

    fn from_str(hex: &str) -> Result<Self, BadHash> {
        let digits: Vec<char> = hex.trim().chars().collect();
        let mut hash = [0; SHA256_OUTPUT_LEN];
        if digits.len() != hash.len() * 2 {
            return Err(BadHash::Length(digits.len()));
        }
        for (at, digit) in digits.into_iter().enumerate() {
            let value = digit.to_digit(16).and_then(|value| u8::try_from(value).ok());
            hash[at / 2] = hash[at / 2] << 4 | value.ok_or(BadHash::Digit(at + 1))?;
        }
        Ok(Self(hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `abc`, as FIPS 180-2 has it.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn it_knows_its_token_and_no_other() {
        for written in [ABC.to_owned(), ABC.to_uppercase(), format!(" {ABC}\n")] {
            let hash: TokenHash = written.parse().unwrap();
            assert_eq!(hash, TokenHash::of("abc"));
            assert!(hash.is_of("abc"));
            for other in ["", "ab", "abcd", "ABC", ABC] {
                assert!(!hash.is_of(other), "{other}");
            }
        }
    }

    #[test]
    fn what_is_no_hash_is_told_apart_and_not_repeated() {
        let short = "my token".parse::<TokenHash>().unwrap_err();
        assert_eq!(short, BadHash::Length(8));
        assert_eq!("".parse::<TokenHash>(), Err(BadHash::Length(0)));
        assert_eq!(format!("{ABC}0").parse::<TokenHash>(), Err(BadHash::Length(65)));
        assert_eq!(ABC.replace("15ad", "15ag").parse::<TokenHash>(), Err(BadHash::Digit(64)));
        assert_eq!(ABC.replacen("ba", "é+", 1).parse::<TokenHash>(), Err(BadHash::Digit(1)));
        let said = short.to_string();
        assert!(
            said.contains("8 characters") && said.contains("sha256sum") && !said.contains("my token"),
            "{said}"
        );
    }
}
