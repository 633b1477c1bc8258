//! Cross-origin requests to Prometheus' API: browsers ask with OPTIONS, and every answer says who may read it (prometheus
//! `util/httputil/cors.go`, and the order of `web/api/v1/api.go`, `Register`).

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use regex::Regex;

use super::app::SharedApp;

const HEADERS: [(http::HeaderName, &str); 3] = [
    (
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        "Accept, Authorization, Content-Type, Origin",
    ),
    (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
    (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
];

/// Endpoints that programs call and no browser.
const WITHOUT: [&str; 4] = ["write", "push", "read", "otlp/v1/metrics"];

/// Which origins may read answers.
#[derive(Clone, Debug)]
pub struct CorsOrigin {
    pattern: String,
    regex: Regex,
}

impl CorsOrigin {
    /// The origins that a pattern matches as a whole; `None` where it is none.
    pub fn new(pattern: &str) -> Option<Self> {
        // Alone first, so that a pattern such as `a)(b` cannot escape the anchoring group.
        Regex::new(pattern).ok()?;
        Some(CorsOrigin {
            pattern: pattern.to_string(),
            regex: Regex::new(&format!("^(?:{pattern})$")).ok()?,
        })
    }

    fn decorate(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = origin.filter(|o| !o.is_empty()) else {
            return;
        };
        for (name, value) in HEADERS {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let allowed = match self.pattern.as_str() {
            ".*" => Some(HeaderValue::from_static("*")),
            _ => {
                let known = origin.to_str().is_ok_and(|text| self.regex.is_match(text));
                known.then(|| origin.clone())
            }
        };
        if let Some(allowed) = allowed {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        }
    }
}

/// Whether a path belongs to the part of Prometheus' API that pages ask.
pub fn is_browsers_api(path: &str) -> bool {
    let below = path
        .strip_prefix("/prometheus")
        .unwrap_or(path)
        .strip_prefix("/api/v1/");
    below.is_some_and(|endpoint| !WITHOUT.contains(&endpoint))
}

/// Answers OPTIONS below `/api/v1/` and adds headers to what is answered there.
pub async fn cors(State(app): State<SharedApp>, request: Request, next: Next) -> Response {
    if !is_browsers_api(request.uri().path()) {
        return next.run(request).await;
    }
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = match *request.method() {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        _ => next.run(request).await,
    };
    let allowed = &app.settings.server.cors_origin;
    allowed.decorate(origin.as_ref(), response.headers_mut());
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn allowed(pattern: &str, origin: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        let origin = (!origin.is_empty()).then(|| HeaderValue::from_str(origin).unwrap());
        CorsOrigin::new(pattern)
            .unwrap()
            .decorate(origin.as_ref(), &mut headers);
        assert_eq!(headers[header::VARY], "Origin");
        let value = headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN)?;
        Some(value.to_str().unwrap().to_string())
    }

    #[test]
    fn origins_match_as_a_whole() {
        let check = |pattern, origin, expected: Option<&str>| {
            assert_eq!(allowed(pattern, origin).as_deref(), expected, "{pattern} {origin}");
        };
        check(".*", "https://a.example", Some("*"));
        check(".*", "", None);
        check(
            "https://(a|b)\\.example",
            "https://b.example",
            Some("https://b.example"),
        );
        check("https://a\\.example", "https://a.example.evil", None);
        assert!(CorsOrigin::new("a)(b").is_none());
    }
}
