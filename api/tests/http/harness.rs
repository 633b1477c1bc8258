//! A server over a store in memory, and requests to it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use garner_api::config::{RawSettings, Settings};
use garner_api::server::{App, SharedApp, router};
use garner_query::logql::deletes::LogqlEntryFilters;
use garner_storage::clock::Clock;
use garner_storage::memory::MemoryAccountant;
use garner_storage::testing::StoreFixture;
use http::{HeaderMap, Request};
use tower::ServiceExt;

/// 2025-01-01, where the clock of the fixture stands, in seconds.
pub const NOW_S: i64 = 1_735_689_600;

pub struct Server {
    pub fixture: StoreFixture,
    pub app: SharedApp,
    router: Router,
}

pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    pub bytes: Vec<u8>,
}

impl Server {
    /// With the default settings.
    pub async fn new() -> Server {
        Server::with("").await
    }

    /// With the settings of a TOML text.
    pub async fn with(settings: &str) -> Server {
        let raw = RawSettings::default().with_file("test.toml", settings).unwrap();
        let settings = Settings::resolve(&raw).unwrap();
        let mut fixture = StoreFixture::new(7);
        fixture.entry_filters = Arc::new(LogqlEntryFilters);
        fixture.config.max_pending_deletes = settings.deletes.max_pending;
        fixture.config.retention = settings.storage.store.retention.clone();
        let storage = fixture.open().await.unwrap();
        let clock: Arc<dyn Clock> = Arc::new(fixture.clock.clone());
        let handle = tokio::runtime::Handle::current();
        let app = App::new(settings, storage, MemoryAccountant::new(1 << 30), clock, handle);
        Server {
            fixture,
            router: router(app.clone()),
            app,
        }
    }

    /// Serves on a port of its own, for clients that need a connection.
    pub async fn listen(&self) -> std::net::SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = self.router.clone();
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    pub async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Reply {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8_lossy(&bytes).into_owned(),
            bytes: bytes.to_vec(),
        }
    }

    /// GET with these parameters.
    pub async fn get(&self, path: &str, params: &[(&str, &str)]) -> Reply {
        self.get_as(None, path, params).await
    }

    /// GET as a tenant.
    pub async fn get_as(&self, tenant: Option<&str>, path: &str, params: &[(&str, &str)]) -> Reply {
        let query: String = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(params)
            .finish();
        let uri = if query.is_empty() {
            path.to_string()
        } else {
            format!("{path}?{query}")
        };
        let mut request = Request::get(uri);
        if let Some(tenant) = tenant {
            request = request.header("X-Scope-OrgID", tenant);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// POST with these headers.
    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Reply {
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    /// POST of a form.
    pub async fn post_form(&self, path: &str, params: &[(&str, &str)]) -> Reply {
        let form: String = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(params)
            .finish();
        self.post(path, &[("Content-Type", "application/x-www-form-urlencoded")], form)
            .await
    }

    /// A push in JSON.
    pub async fn push_json(&self, body: impl Into<Body>) -> Reply {
        self.post("/loki/api/v1/push", &[("Content-Type", "application/json")], body)
            .await
    }

    /// A remote write of version 1.
    pub async fn write(&self, body: Vec<u8>) -> Reply {
        let headers = [
            ("Content-Type", "application/x-protobuf"),
            ("Content-Encoding", "snappy"),
        ];
        self.post("/api/v1/write", &headers, body).await
    }
}

impl Reply {
    /// Asserts a status; the text is shown where it differs.
    #[track_caller]
    pub fn expect(self, status: u16) -> Reply {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// Asserts status and trimmed text.
    #[track_caller]
    pub fn expect_text(self, status: u16, text: &str) {
        assert_eq!((self.status, self.text.trim()), (status, text));
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}
