//! HTTP clients, made at the first request that needs one.
//!
//! Four kinds, because two things must not happen for nothing: reading a machine's root certificates (about a megabyte
//! of memory) for a provider on plain `http`, and sending what is meant for this machine through a proxy. The proxy is
//! taken from the environment otherwise.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::{Client, Url, redirect, retry};
use rustls::crypto::{CryptoProvider, ring};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;

/// A machine that does not answer the handshake in this time is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Connections kept for the next request of a turn, and how long: each is a descriptor.
const IDLE_CONNECTIONS: usize = 4;
const IDLE_CONNECTION_AGE: Duration = Duration::from_secs(30);

/// Clients by kind: `[tls][proxied]`. A client holds the connections that it keeps alive, and their tasks end with it.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    kinds: [[OnceLock<Client>; 2]; 2],
}

// === impl Clients ===

impl Clients {
    /// The client for an address.
    ///
    /// # Errors
    /// What the machine said when it was asked for its root certificates.
    pub(crate) fn for_url(&self, url: &Url) -> Result<&Client, String> {
        let (tls, proxied) = (url.scheme() == "https", !is_loopback(url));
        let cell = &self.kinds[usize::from(tls)][usize::from(proxied)];
        if let Some(client) = cell.get() {
            return Ok(client);
        }
        // Two first requests at once may both build one; the second is dropped unused, and nobody waits under a lock.
        let client = build(tls, proxied)?;
        Ok(cell.get_or_init(|| client))
    }

    #[cfg(test)]
    fn made(&self) -> usize {
        self.kinds.iter().flatten().filter(|cell| cell.get().is_some()).count()
    }
}

fn build(tls: bool, proxied: bool) -> Result<Client, String> {
    let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = if tls {
        config.with_platform_verifier().map_err(|error| error.to_string())?.with_no_client_auth()
    } else {
        config.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
    };
    let client = Client::builder()
        .tls_backend_preconfigured(config)
        .user_agent(concat!("verger/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .pool_idle_timeout(IDLE_CONNECTION_AGE)
        // A key must not follow a redirect, and attempts are counted in one place.
        .redirect(redirect::Policy::none())
        .retry(retry::never());
    let client = if proxied { client } else { client.no_proxy() };
    client.build().map_err(|error| error.to_string())
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.map_or(host == "localhost" || host.ends_with(".localhost"), |address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn loopback_is_told_from_the_rest() {
        for here in [
            "http://127.0.0.1:1",
            "http://127.9.9.9",
            "http://[::1]:1",
            "http://LOCALHOST",
            "http://a.localhost",
        ] {
            assert!(is_loopback(&url(here)), "{here}");
        }
        for elsewhere in
            ["https://example.org", "http://10.0.0.1", "http://[2001:db8::1]", "http://localhost.example.org"]
        {
            assert!(!is_loopback(&url(elsewhere)), "{elsewhere}");
        }
    }

    #[test]
    fn a_client_is_made_once_per_kind_and_only_when_needed() {
        let clients = Clients::default();
        assert_eq!(clients.made(), 0);
        clients.for_url(&url("http://127.0.0.1:1/v1")).unwrap();
        clients.for_url(&url("http://localhost:2/v1")).unwrap();
        assert_eq!(clients.made(), 1);
        clients.for_url(&url("http://10.0.0.1/v1")).unwrap();
        assert_eq!(clients.made(), 2);
    }
}
