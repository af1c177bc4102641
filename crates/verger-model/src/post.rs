//! Telling somebody something over HTTP: with the clients that models are asked with, so with their certificates and proxies.

use std::time::Duration;

use reqwest::Url;
use reqwest::header::CONTENT_TYPE;

use crate::models::Models;
use crate::sse::causes;

impl Models {
    /// Posts JSON to `url`, and says with which status it was taken.
    ///
    /// # Errors
    /// In words: no address, nobody there, no answer within `limit`, or a status that is no success.
    pub async fn post(&self, url: &str, json: String, limit: Duration) -> Result<String, String> {
        let url: Url = url.parse().map_err(|error| format!("its address is none: {error}"))?;
        let client = self.clients().for_url(&url)?;
        let request = client.post(url).header(CONTENT_TYPE, "application/json").timeout(limit).body(json);
        // An address may carry a key: of an error, its cause is told and not where to.
        let answer = request.send().await.map_err(|error| causes(&error.without_url()))?;
        match answer.status() {
            status if status.is_success() => Ok(format!("answered {status}")),
            status => Err(format!("answered {status}")),
        }
    }
}
