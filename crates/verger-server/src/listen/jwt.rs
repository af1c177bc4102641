//! Tokens that somebody else signed with a secret that this server shares: JWT, by HS256 alone.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde::Deserialize;

/// Bytes that a secret has at least: as many as the hash has, or it is the weaker of the two.
pub(crate) const SHORTEST_SECRET: usize = 32;

/// By how much the signer's clock may be off, unless somebody says otherwise.
pub(crate) const SKEW: Duration = Duration::from_secs(30);

/// What a token must be. The secret shows in no output: ring keeps it to itself.
#[derive(Debug)]
pub(crate) struct Jwt {
    secret: hmac::Key,
    issuer: Option<String>,
    audience: Option<String>,
    skew: Duration,
}

/// Why a token is refused, as clients are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadJwt {
    /// Not signed with the secret, or not what is understood here.
    #[error("invalid websocket jwt")]
    Invalid,
    #[error("expired websocket jwt")]
    Expired,
    #[error("websocket jwt is not valid yet")]
    NotYet,
    #[error("websocket jwt issuer mismatch")]
    Issuer,
    #[error("websocket jwt audience mismatch")]
    Audience,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    /// Names of extensions that must be understood: none is.
    crit: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Claims {
    /// In seconds since 1970, as `nbf`.
    exp: i64,
    nbf: Option<i64>,
    iss: Option<String>,
    aud: Option<Audiences>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Many(Vec<String>),
}

impl Jwt {
    /// Of a secret that is long enough; of one that is not, its length.
    pub(crate) fn new(
        secret: &str,
        issuer: Option<String>,
        audience: Option<String>,
        skew: Duration,
    ) -> Result<Self, usize> {
        if secret.len() < SHORTEST_SECRET {
            return Err(secret.len());
        }
        Ok(Self { secret: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), issuer, audience, skew })
    }

    /// Nothing of a token is believed before its signature.
    pub(super) fn check(&self, token: &str, now: SystemTime) -> Result<(), BadJwt> {
        let (signed, signature) = token.rsplit_once('.').ok_or(BadJwt::Invalid)?;
        let (header, claims) = signed.split_once('.').ok_or(BadJwt::Invalid)?;
        // In constant time.
        hmac::verify(&self.secret, signed.as_bytes(), &bytes(signature)?).map_err(|_| BadJwt::Invalid)?;
        let header: Header = json(header)?;
        if header.alg != "HS256" || header.crit.is_some() {
            return Err(BadJwt::Invalid);
        }
        let claims: Claims = json(claims)?;
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let (now, skew) = (i128::from(now), i128::from(self.skew.as_secs()));
        if now > i128::from(claims.exp) + skew {
            return Err(BadJwt::Expired);
        }
        if claims.nbf.is_some_and(|nbf| now + skew < i128::from(nbf)) {
            return Err(BadJwt::NotYet);
        }
        if self.issuer.is_some() && claims.iss != self.issuer {
            return Err(BadJwt::Issuer);
        }
        let is_meant = |own: &String| match &claims.aud {
            None => false,
            Some(Audiences::One(one)) => one == own,
            Some(Audiences::Many(many)) => many.contains(own),
        };
        if self.audience.as_ref().is_some_and(|own| !is_meant(own)) {
            return Err(BadJwt::Audience);
        }
        Ok(())
    }
}

fn bytes(part: &str) -> Result<Vec<u8>, BadJwt> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| BadJwt::Invalid)
}

fn json<T: for<'de> Deserialize<'de>>(part: &str) -> Result<T, BadJwt> {
    serde_json::from_slice(&bytes(part)?).map_err(|_| BadJwt::Invalid)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const SECRET: &str = "a secret of thirty-two bytes, or more";
    const NOW: i64 = 1_000_000;

    fn signed(header: &Value, claims: &Value, algorithm: hmac::Algorithm, secret: &str) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(header), part(claims));
        let signature = hmac::sign(&hmac::Key::new(algorithm, secret.as_bytes()), text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn check(jwt: &Jwt, token: &str) -> Result<(), BadJwt> {
        jwt.check(token, UNIX_EPOCH + Duration::from_secs(NOW.unsigned_abs()))
    }

    fn says(claims: &Value) -> Result<(), BadJwt> {
        let jwt = Jwt::new(SECRET, None, None, SKEW).unwrap();
        check(&jwt, &signed(&json!({ "alg": "HS256", "typ": "JWT" }), claims, hmac::HMAC_SHA256, SECRET))
    }

    #[test]
    fn a_token_has_its_time() {
        assert_eq!(says(&json!({ "exp": NOW + 60 })), Ok(()));
        assert_eq!(says(&json!({ "exp": NOW - 30 })), Ok(()), "clocks differ");
        assert_eq!(says(&json!({ "exp": NOW - 31 })), Err(BadJwt::Expired));
        assert_eq!(says(&json!({ "exp": NOW + 60, "nbf": NOW + 30 })), Ok(()));
        assert_eq!(says(&json!({ "exp": NOW + 60, "nbf": NOW + 31 })), Err(BadJwt::NotYet));
        assert_eq!(says(&json!({ "exp": i64::MIN })), Err(BadJwt::Expired));
        for wrong in
            [json!({}), json!({ "exp": null }), json!({ "exp": "9999999" }), json!({ "exp": 1e9 + 0.5 })]
        {
            assert_eq!(says(&wrong), Err(BadJwt::Invalid), "{wrong}");
        }
    }

    #[test]
    fn one_algorithm_and_one_secret_are_believed() {
        let jwt = Jwt::new(SECRET, None, None, SKEW).unwrap();
        let (header, claims) = (|alg: &str| json!({ "alg": alg }), json!({ "exp": NOW + 60 }));
        let wrong = [
            signed(&header("none"), &claims, hmac::HMAC_SHA256, SECRET),
            signed(&header("RS256"), &claims, hmac::HMAC_SHA256, SECRET),
            signed(&header("HS512"), &claims, hmac::HMAC_SHA512, SECRET),
            signed(&header("HS256"), &claims, hmac::HMAC_SHA256, "another secret of thirty-two bytes"),
            signed(&json!({ "alg": "HS256", "crit": ["b64"] }), &claims, hmac::HMAC_SHA256, SECRET),
            format!("{}.e30.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#)),
            String::new(),
            "a.b.c".to_owned(),
            "..".to_owned(),
        ];
        for token in wrong {
            assert_eq!(check(&jwt, &token), Err(BadJwt::Invalid), "{token}");
        }
    }

    #[test]
    fn issuer_and_audience_are_held_to_where_they_are_set() {
        let jwt = Jwt::new(SECRET, Some("me".into()), Some("us".into()), SKEW).unwrap();
        let says = |iss: &str, aud: Value| {
            let claims = json!({ "exp": NOW + 60, "iss": iss, "aud": aud });
            check(&jwt, &signed(&json!({ "alg": "HS256" }), &claims, hmac::HMAC_SHA256, SECRET))
        };
        assert_eq!(says("me", json!("us")), Ok(()));
        assert_eq!(says("me", json!(["them", "us"])), Ok(()));
        assert_eq!(says("you", json!("us")), Err(BadJwt::Issuer));
        assert_eq!(says("me", json!("them")), Err(BadJwt::Audience));
        assert_eq!(says("me", json!([])), Err(BadJwt::Audience));
    }

    #[test]
    fn a_short_secret_is_none() {
        assert_eq!(Jwt::new(&"x".repeat(31), None, None, SKEW).unwrap_err(), 31);
        assert!(!format!("{:?}", Jwt::new(SECRET, None, None, SKEW)).contains("secret of"));
    }
}
