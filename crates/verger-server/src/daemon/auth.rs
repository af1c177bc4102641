//! What clients over TCP present, by the command line or by `[server]`.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{DaemonError, Listen};
use crate::config::{Auth, ServerSection};
use crate::home::Home;
use crate::listen::{Credential, Jwt, SHORTEST_SECRET, SKEW, TokenHash};
use crate::token;

/// What the command line says of it. The first three win over the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthOptions {
    /// The file of the token that every client presents.
    pub token: Option<PathBuf>,
    /// The token's hash, where its file is none of this server's business.
    pub token_hash: Option<TokenHash>,
    /// The file of the secret with which clients' JWTs are signed.
    pub jwt_secret: Option<PathBuf>,
    /// Whose JWTs are taken.
    pub issuer: Option<String>,
    /// For whom they must be.
    pub audience: Option<String>,
    /// By how much clocks may differ.
    pub skew: Option<Duration>,
}

/// What clients over TCP present, as their owner is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Presented {
    /// Nothing.
    #[default]
    Nothing,
    /// The token in this file.
    TokenIn(PathBuf),
    /// The token whose hash the command line gave.
    TokenOfHash,
    /// A JWT.
    Jwt,
}

/// What one server holds its clients to.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    pub(super) credential: Credential,
    pub(super) presented: Presented,
    /// Whether somebody chose it, and does not only get what is there by default.
    pub(super) is_explicit: bool,
}

impl AuthOptions {
    /// Reads what is to be read; a file that cannot be used is no reason to let everybody in.
    pub(super) fn resolve(
        &self,
        listen: &Listen,
        config: &ServerSection,
        home: &Home,
    ) -> Result<Resolved, DaemonError> {
        match (&self.token, &self.token_hash, &self.jwt_secret) {
            (Some(file), _, _) => given_token(file),
            (None, Some(hash), _) => {
                let credential = Credential::Token(*hash);
                Ok(Resolved { credential, presented: Presented::TokenOfHash, is_explicit: true })
            }
            (None, None, Some(file)) => self.jwt(file, config),
            (None, None, None) => self.configured(listen, config, home),
        }
    }

    fn configured(
        &self,
        listen: &Listen,
        config: &ServerSection,
        home: &Home,
    ) -> Result<Resolved, DaemonError> {
        match (config.auth, &config.auth_token_file, &config.auth_jwt_secret_file) {
            (Auth::Token, _, Some(file)) => Err(DaemonError::Secret {
                path: file.clone(),
                cause: "it is set by auth_jwt_secret_file, but not in use; set auth = \"jwt\" under [server]"
                    .into(),
            }),
            (Auth::Token, Some(file), None) => given_token(file),
            // What nobody chose is the daemon's alone: who starts an app-server knows of no token.
            (Auth::Token, None, None) if !matches!(listen, Listen::Daemon { .. }) => Ok(Resolved::default()),
            (Auth::Token, None, None) => {
                let file = home.token_file();
                let credential = Credential::Token(TokenHash::of(&token::read_or_make(&file)?));
                Ok(Resolved { credential, presented: Presented::TokenIn(file), is_explicit: false })
            }
            (Auth::Jwt, _, Some(file)) => self.jwt(file, config),
            (Auth::Jwt, _, None) => Err(DaemonError::NoSecret),
            (Auth::None, _, _) => Ok(Resolved::default()),
        }
    }

    fn jwt(&self, file: &Path, config: &ServerSection) -> Result<Resolved, DaemonError> {
        let secret = token::read(file).map_err(unusable(file))?;
        let issuer = self.issuer.clone().or_else(|| config.auth_jwt_issuer.clone());
        let audience = self.audience.clone().or_else(|| config.auth_jwt_audience.clone());
        let jwt = Jwt::new(&secret, issuer, audience, self.skew.unwrap_or(SKEW));
        let jwt = jwt.map_err(|length| DaemonError::Secret {
            path: file.to_owned(),
            cause: format!(
                "its secret has {length} bytes, which can be guessed; put at least {SHORTEST_SECRET} random ones there"
            ),
        })?;
        let credential = Credential::Jwt(Box::new(jwt));
        Ok(Resolved { credential, presented: Presented::Jwt, is_explicit: true })
    }
}

fn given_token(file: &Path) -> Result<Resolved, DaemonError> {
    let credential = Credential::Token(TokenHash::of(&token::read(file).map_err(unusable(file))?));
    Ok(Resolved { credential, presented: Presented::TokenIn(file.to_owned()), is_explicit: true })
}

fn unusable(file: &Path) -> impl FnOnce(std::io::Error) -> DaemonError {
    let path = file.to_owned();
    |cause| {
        let remedy = match cause.kind() {
            ErrorKind::NotFound => "; put the secret there, or name another file",
            _ => "",
        };
        DaemonError::Secret { path, cause: format!("{cause}{remedy}") }
    }
}
