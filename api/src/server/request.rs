//! What handlers of reads get and give: tenant and parameters in, JSON of the right content type out.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, header};

use garner_storage::model::TenantId;

use super::app::SharedApp;
use super::body::read_body;
use crate::error::TextFailure;
use crate::params::Params;
use crate::tenant::Tenants;

/// The parts of a read request over one or several tenants.
#[derive(Debug)]
pub struct ReadAsk {
    /// Whose data.
    pub tenants: Tenants,
    /// Query string and form.
    pub params: Params,
    /// Headers.
    pub headers: HeaderMap,
}

impl FromRequest<SharedApp> for ReadAsk {
    type Rejection = TextFailure;

    async fn from_request(request: Request, app: &SharedApp) -> Result<Self, TextFailure> {
        let (parts, body) = request.into_parts();
        let tenants = Tenants::of(&parts.headers, app.settings.server.tenancy_required)?;
        Ok(ReadAsk {
            tenants,
            params: params_of(app, &parts, body).await?,
            headers: parts.headers,
        })
    }
}

/// Query string and form of a request.
pub async fn params_of(app: &SharedApp, parts: &Parts, body: Body) -> Result<Params, TextFailure> {
    let form = match parts.method {
        // As Go's `ParseForm` reads them.
        Method::POST | Method::PUT if is_form(&parts.headers) => {
            read_body(&parts.headers, body, &app.settings.server, &app.accountant)
                .await?
                .0
        }
        _ => Default::default(),
    };
    Ok(Params::new(parts.uri.query(), &form))
}

/// The parts of a read request over one tenant.
#[derive(Debug)]
pub struct Ask {
    /// Whose data.
    pub tenant: TenantId,
    /// Query string and form.
    pub params: Params,
    /// Headers.
    pub headers: HeaderMap,
}

impl FromRequest<SharedApp> for Ask {
    type Rejection = TextFailure;

    async fn from_request(request: Request, app: &SharedApp) -> Result<Self, TextFailure> {
        let ask = ReadAsk::from_request(request, app).await?;
        Ok(Ask {
            tenant: ask.tenants.one()?.clone(),
            params: ask.params,
            headers: ask.headers,
        })
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    header_text(headers, header::CONTENT_TYPE).starts_with("application/x-www-form-urlencoded")
}

/// A header as text; empty where it is missing or no text.
pub fn header_text(headers: &HeaderMap, name: HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}

/// An answer of Loki's API.
pub fn loki_json(body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, "application/json; charset=utf-8")], body.into()).into_response()
}

/// An answer of Prometheus' API.
pub fn prometheus_json(body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body.into()).into_response()
}
