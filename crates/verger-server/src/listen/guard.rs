//! Who may connect over TCP: the origin, host and token rules.

use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use subtle::ConstantTimeEq;

/// The rules of one listener.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    /// The token that clients present, if they must.
    pub(crate) token: Option<String>,
    /// Origins that browsers may connect from.
    pub(crate) allowed_origins: Vec<String>,
    /// Host names besides the loopback ones.
    pub(crate) allowed_hosts: Vec<String>,
}

type Refusal = (StatusCode, String);

impl Guard {
    /// A page of a foreign site must not reach this server through its reader's browser, not even its health.
    pub(super) fn check_origin(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
        let origin = origin.to_str().unwrap_or("?");
        if self.allowed_origins.iter().any(|allowed| allowed == origin) {
            return Ok(());
        }
        let message = format!(
            "origin {origin} is not allowed; add it to allowed_origins under [server] if it should be\n"
        );
        Err((StatusCode::FORBIDDEN, message))
    }

    /// Host and token.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        self.check_host(headers)?;
        self.check_token(headers)
    }

    /// A name that an attacker's DNS points at the loopback address must not reach this server (DNS rebinding).
    fn check_host(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        };
        let is_loopback = matches!(name, "localhost" | "127.0.0.1" | "[::1]");
        if is_loopback || self.allowed_hosts.iter().any(|allowed| allowed == name || allowed == host) {
            return Ok(());
        }
        let message =
            format!("host {host} is not allowed; add it to allowed_hosts under [server] if it should be\n");
        Err((StatusCode::FORBIDDEN, message))
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(token) = &self.token else { return Ok(()) };
        let refuse = |why: &str| Err((StatusCode::UNAUTHORIZED, format!("{why}\n")));
        let Some(header) = headers.get(AUTHORIZATION) else {
            return refuse("missing websocket bearer token");
        };
        let Some(given) = header.to_str().ok().and_then(|value| value.strip_prefix("Bearer ")) else {
            return refuse("invalid authorization header");
        };
        if bool::from(given.as_bytes().ct_eq(token.as_bytes())) {
            Ok(())
        } else {
            refuse("invalid websocket bearer token")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_this_machine_and_named_hosts_may_ask() {
        let guard = Guard { allowed_hosts: vec!["box.lan".into()], ..Guard::default() };
        for host in ["localhost", "127.0.0.1:7717", "[::1]:7717", "box.lan:80"] {
            assert_eq!(guard.check(&headers(&[("host", host)])), Ok(()), "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example", ""] {
            let (status, message) = guard.check(&headers(&[("host", host)])).unwrap_err();
            assert_eq!(status, StatusCode::FORBIDDEN);
            assert!(message.contains("allowed_hosts"), "{message}");
        }
    }

    #[test]
    fn a_browser_may_ask_from_named_origins_only() {
        let guard = Guard { allowed_origins: vec!["http://localhost:3000".into()], ..Guard::default() };
        assert_eq!(guard.check_origin(&headers(&[])), Ok(()));
        assert_eq!(guard.check_origin(&headers(&[("origin", "http://localhost:3000")])), Ok(()));
        let (status, message) =
            guard.check_origin(&headers(&[("origin", "https://evil.example")])).unwrap_err();
        assert_eq!((status, message.contains("allowed_origins")), (StatusCode::FORBIDDEN, true));
    }

    #[test]
    fn a_token_is_wanted_whole() {
        let guard = Guard { token: Some("secret".into()), ..Guard::default() };
        let with = |value: &str| guard.check(&headers(&[("host", "localhost"), ("authorization", value)]));
        assert_eq!(with("Bearer secret"), Ok(()));
        for (value, why) in [
            ("Bearer secre", "invalid websocket bearer token"),
            ("Bearer ", "invalid websocket bearer token"),
            ("Basic secret", "invalid authorization header"),
        ] {
            assert_eq!(with(value), Err((StatusCode::UNAUTHORIZED, format!("{why}\n"))), "{value}");
        }
        let none = guard.check(&headers(&[("host", "localhost")])).unwrap_err();
        assert_eq!(none.1, "missing websocket bearer token\n");
    }
}
