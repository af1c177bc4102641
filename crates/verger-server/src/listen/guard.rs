//! Who may connect over TCP: the rules of origin, host and credential.

use std::net::IpAddr;
use std::time::SystemTime;

use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, StatusCode};

use super::{Jwt, TokenHash};

/// What clients present.
#[derive(Debug, Default)]
pub(crate) enum Credential {
    /// Nothing.
    #[default]
    None,
    /// The text with this hash.
    Token(TokenHash),
    /// A token signed with a shared secret.
    Jwt(Box<Jwt>),
}

/// The rules of one listener.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    pub(crate) credential: Credential,
    /// Where it listens, if that is not on the loopback interface: clients may call it so.
    pub(crate) open_to: Option<IpAddr>,
    /// Origins that browsers may connect from.
    pub(crate) allowed_origins: Vec<String>,
    /// Host names besides the loopback ones.
    pub(crate) allowed_hosts: Vec<String>,
}

type Refusal = (StatusCode, String);

impl Guard {
    /// A page of a foreign site must not reach this server through its reader's browser, not even its health.
    pub(super) fn check_origin(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let is_allowed =
            |origin: &&HeaderValue| self.allowed_origins.iter().any(|allowed| allowed == *origin);
        let Some(foreign) = headers.get_all(ORIGIN).iter().find(|origin| !is_allowed(origin)) else {
            return Ok(());
        };
        let origin = foreign.to_str().unwrap_or("?");
        let message = format!(
            "origin {origin} is not allowed; add it to allowed_origins under [server] if it should be\n"
        );
        Err((StatusCode::FORBIDDEN, message))
    }

    /// Host and credential.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        self.check_host(headers)?;
        self.check_credential(headers)
    }

    /// A name that an attacker's DNS points at the loopback address must not reach this server (DNS rebinding).
    fn check_host(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let mut hosts = headers.get_all(HOST).iter().map(|host| host.to_str().unwrap_or("?"));
        let host = hosts.next().unwrap_or_default();
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        };
        let is_named =
            |allowed: &String| allowed.eq_ignore_ascii_case(name) || allowed.eq_ignore_ascii_case(host);
        if hosts.next().is_none() && (self.is_own(name) || self.allowed_hosts.iter().any(is_named)) {
            return Ok(());
        }
        let message =
            format!("host {host} is not allowed; add it to allowed_hosts under [server] if it should be\n");
        Err((StatusCode::FORBIDDEN, message))
    }

    /// Whether it is a name of this machine that no foreign DNS can give to another address.
    fn is_own(&self, name: &str) -> bool {
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        match (address.parse::<IpAddr>(), self.open_to) {
            (Ok(address), _) if address.is_loopback() => true,
            // Every address of this machine, and an address as such cannot be rebound.
            (Ok(_), Some(own)) if own.is_unspecified() => true,
            (Ok(address), Some(own)) => address == own,
            (Ok(_), None) => false,
            (Err(_), open_to) => {
                let is_machine = || {
                    rustix::system::uname()
                        .nodename()
                        .to_str()
                        .is_ok_and(|own| own.eq_ignore_ascii_case(name))
                };
                name.eq_ignore_ascii_case("localhost") || (open_to.is_some() && is_machine())
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a signed token is dated, and shown at this moment")]
    fn check_credential(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let refuse = |why: &str| Err((StatusCode::UNAUTHORIZED, format!("{why}\n")));
        if matches!(self.credential, Credential::None) {
            return Ok(());
        }
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = values.next() else {
            return refuse("missing websocket bearer token");
        };
        let Some(given) = bearer(value).filter(|_| values.next().is_none()) else {
            return refuse("invalid authorization header");
        };
        match &self.credential {
            Credential::Token(hash) if !hash.is_of(given) => refuse("invalid websocket bearer token"),
            Credential::Jwt(jwt) => {
                jwt.check(given, SystemTime::now()).or_else(|why| refuse(&why.to_string()))
            }
            Credential::None | Credential::Token(_) => Ok(()),
        }
    }
}

/// The token in `Bearer TOKEN`.
fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn only_this_machine_and_named_hosts_may_ask() {
        let guard = Guard { allowed_hosts: vec!["box.lan".into()], ..Guard::default() };
        for host in [
            "localhost",
            "LOCALHOST:1",
            "127.0.0.1:7717",
            "127.0.0.2",
            "[::1]:7717",
            "[::1]",
            "box.lan:80",
            "Box.LAN",
        ] {
            assert_eq!(guard.check(&headers(&[("host", host)])), Ok(()), "{host}");
        }
        for host in
            ["evil.example", "127.0.0.1.evil.example", "192.0.2.1", "localhost.evil.example:80", "[::2]", ""]
        {
            let (status, message) = guard.check(&headers(&[("host", host)])).unwrap_err();
            assert_eq!(status, StatusCode::FORBIDDEN);
            assert!(message.contains("allowed_hosts"), "{message}");
        }
    }

    #[test]
    fn two_hosts_or_none_are_nobodys() {
        let guard = Guard::default();
        assert!(guard.check(&headers(&[])).is_err());
        assert!(guard.check(&headers(&[("host", "localhost"), ("host", "localhost")])).is_err());
    }

    #[test]
    fn an_open_address_is_its_own_name() {
        let at = |own: &str| Guard { open_to: Some(own.parse().unwrap()), ..Guard::default() };
        let machine = rustix::system::uname().nodename().to_str().unwrap().to_owned();
        for host in ["192.0.2.1:80", "localhost", machine.as_str()] {
            assert_eq!(at("192.0.2.1").check(&headers(&[("host", host)])), Ok(()), "{host}");
        }
        assert!(at("192.0.2.1").check(&headers(&[("host", "192.0.2.2")])).is_err());
        assert!(at("0.0.0.0").check(&headers(&[("host", "192.0.2.2:1")])).is_ok());
        assert!(at("0.0.0.0").check(&headers(&[("host", "evil.example")])).is_err());
    }

    #[test]
    fn a_browser_may_ask_from_named_origins_only() {
        let guard = Guard { allowed_origins: vec!["http://localhost:3000".into()], ..Guard::default() };
        assert_eq!(guard.check_origin(&headers(&[])), Ok(()));
        assert_eq!(guard.check_origin(&headers(&[("origin", "http://localhost:3000")])), Ok(()));
        let two = [("origin", "http://localhost:3000"), ("origin", "https://evil.example")];
        assert!(guard.check_origin(&headers(&two)).is_err(), "both are looked at");
        assert!(guard.check_origin(&headers(&[("origin", "null")])).is_err());
        let (status, message) =
            guard.check_origin(&headers(&[("origin", "https://evil.example")])).unwrap_err();
        assert_eq!((status, message.contains("allowed_origins")), (StatusCode::FORBIDDEN, true));
    }

    #[test]
    fn a_token_is_wanted_whole() {
        let guard = Guard { credential: Credential::Token(TokenHash::of("secret")), ..Guard::default() };
        let with = |value: &str| guard.check(&headers(&[("host", "localhost"), ("authorization", value)]));
        assert_eq!(with("Bearer secret"), Ok(()));
        assert_eq!(with("bearer secret"), Ok(()));
        for (value, why) in [
            ("Bearer secre", "invalid websocket bearer token"),
            ("Bearer secret2", "invalid websocket bearer token"),
            ("Bearer ", "invalid authorization header"),
            ("Basic secret", "invalid authorization header"),
        ] {
            assert_eq!(with(value), Err((StatusCode::UNAUTHORIZED, format!("{why}\n"))), "{value}");
        }
        let none = guard.check(&headers(&[("host", "localhost")])).unwrap_err();
        assert_eq!(none.1, "missing websocket bearer token\n");
    }
}
