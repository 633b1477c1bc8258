//! A small HTTP client that answers every status as a value.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use ureq::http::{HeaderMap, Response};

/// A client of one server.
#[derive(Clone)]
pub struct Client {
    agent: ureq::Agent,
    base: String,
    tenant: Option<String>,
}

/// Status, headers and body of an answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's text, empty where it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; fails on any status but 200.
    pub fn json(&self) -> Result<Value> {
        if self.status != 200 {
            bail!("status {}: {}", self.status, self.text());
        }
        serde_json::from_slice(&self.body).with_context(|| format!("not JSON: {}", self.text()))
    }
}

impl Client {
    /// A client of `http://127.0.0.1:port`.
    pub fn new(port: u16) -> Client {
        Client::with_timeout(port, Duration::from_secs(60))
    }

    /// The same for requests that may take long.
    pub fn with_timeout(port: u16, timeout: Duration) -> Client {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(timeout))
            .build();
        Client {
            agent: config.into(),
            base: format!("http://127.0.0.1:{port}"),
            tenant: None,
        }
    }

    /// The same client for another tenant.
    pub fn tenant(&self, tenant: &str) -> Client {
        Client {
            tenant: Some(tenant.to_string()),
            ..self.clone()
        }
    }

    /// GET with query parameters.
    pub fn get(&self, path: &str, params: &[(&str, &str)]) -> Result<Answer> {
        self.get_with(path, params, &[])
    }

    /// GET with query parameters and headers.
    pub fn get_with(&self, path: &str, params: &[(&str, &str)], headers: &[(&str, &str)]) -> Result<Answer> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        for (name, value) in params {
            request = request.query(name, value);
        }
        if let Some(tenant) = &self.tenant {
            request = request.header("X-Scope-OrgID", tenant);
        }
        answer(request.call()?)
    }

    /// POST of a body with headers.
    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer> {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(tenant) = &self.tenant {
            request = request.header("X-Scope-OrgID", tenant);
        }
        answer(request.send(body)?)
    }

    /// DELETE with query parameters.
    pub fn delete(&self, path: &str, params: &[(&str, &str)]) -> Result<Answer> {
        let mut request = self.agent.delete(format!("{}{path}", self.base));
        for (name, value) in params {
            request = request.query(name, value);
        }
        answer(request.call()?)
    }

    /// `data` of a JSON answer with status "success".
    pub fn data(&self, path: &str, params: &[(&str, &str)]) -> Result<Value> {
        let json = self
            .get(path, params)?
            .json()
            .with_context(|| format!("{path} {params:?}"))?;
        if json["status"] != "success" {
            bail!("{path} {params:?}: {json}");
        }
        Ok(json["data"].clone())
    }
}

fn answer(mut response: Response<ureq::Body>) -> Result<Answer> {
    let body = response.body_mut().with_config().limit(1 << 30).read_to_vec()?;
    Ok(Answer {
        status: response.status().as_u16(),
        headers: std::mem::take(response.headers_mut()),
        body,
    })
}
