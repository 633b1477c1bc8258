//! Which path is answered by what.

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use http::{StatusCode, header};

use super::app::SharedApp;
use super::compress::compress;
use super::cors::cors;
use super::observe::observe;
use crate::error::{Failure, FailureKind, TextFailure};
use crate::{admin, loki, prometheus};

/// All endpoints over the shared state.
pub fn router(app: SharedApp) -> Router {
    Router::new()
        .merge(loki_routes())
        .merge(prometheus_routes())
        // As mounted by Mimir, and by Loki for its rules.
        .nest("/prometheus", prometheus_routes())
        .merge(admin_routes())
        .fallback(not_found)
        .layer(from_fn(compress))
        .layer(from_fn_with_state(app.clone(), cors))
        .layer(from_fn(redirect_unclean))
        .layer(from_fn_with_state(app.clone(), observe))
        .with_state(app)
}

fn loki_routes() -> Router<SharedApp> {
    Router::new()
        .route("/loki/api/v1/push", post(loki::push::push))
        .route("/api/prom/push", post(loki::push::push_legacy))
        .route("/otlp/v1/logs", post(loki::otlp::logs))
        .route(
            "/loki/api/v1/patterns",
            get(loki::patterns::patterns).post(loki::patterns::patterns),
        )
        .route("/loki/api/v1/query", get(loki::query::query).post(loki::query::query))
        .route(
            "/loki/api/v1/query_range",
            get(loki::query_range::query_range).post(loki::query_range::query_range),
        )
        .route(
            "/loki/api/v1/labels",
            get(loki::labels::names).post(loki::labels::names),
        )
        .route("/loki/api/v1/label", get(loki::labels::names).post(loki::labels::names))
        .route(
            "/loki/api/v1/label/{name}/values",
            get(loki::labels::values).post(loki::labels::values),
        )
        .route(
            "/loki/api/v1/series",
            get(loki::series::series).post(loki::series::series),
        )
        .route(
            "/loki/api/v1/format_query",
            get(loki::format_query::format_query).post(loki::format_query::format_query),
        )
        .route(
            "/loki/api/v1/index/stats",
            get(loki::index::stats).post(loki::index::stats),
        )
        .route(
            "/loki/api/v1/index/volume",
            get(loki::index::volume).post(loki::index::volume),
        )
        .route(
            "/loki/api/v1/index/volume_range",
            get(loki::index::volume_range).post(loki::index::volume_range),
        )
        .route(
            "/loki/api/v1/detected_labels",
            get(loki::detected_labels::detected_labels).post(loki::detected_labels::detected_labels),
        )
        .route(
            "/loki/api/v1/detected_fields",
            get(loki::detected_fields::fields).post(loki::detected_fields::fields),
        )
        .route(
            "/loki/api/v1/detected_field/{name}/values",
            get(loki::detected_fields::values).post(loki::detected_fields::values),
        )
        .route(
            "/loki/api/v1/index/shards",
            get(loki::shards::shards).post(loki::shards::shards),
        )
        .route("/loki/api/v1/tail", get(loki::tail::tail).post(loki::tail::tail))
        .route("/api/prom/tail", get(loki::tail::tail).post(loki::tail::tail))
        .route(
            "/loki/api/v1/delete",
            get(loki::deletes::list)
                .post(loki::deletes::create)
                .put(loki::deletes::create)
                .delete(loki::deletes::cancel),
        )
        .route("/loki/api/v1/cache/generation_numbers", get(loki::cache::generation))
        .route(
            "/loki/api/v1/cache/generation_numbers/increase",
            post(loki::cache::increase),
        )
        .merge(rule_routes("/loki/api/v1/rules"))
        .merge(rule_routes("/api/prom/rules"))
        .route(
            "/ui/api/v1/tenants/{tenant}/analyze-labels",
            get(loki::series::analyze_labels),
        )
        .route("/api/prom/query", get(loki::legacy::query).post(loki::legacy::query))
        .route(
            "/api/prom/label",
            get(loki::legacy::label_names).post(loki::legacy::label_names),
        )
        .route(
            "/api/prom/label/{name}/values",
            get(loki::legacy::label_values).post(loki::legacy::label_values),
        )
        .route("/api/prom/series", get(loki::series::series).post(loki::series::series))
        .route("/loki/api/v1/drilldown-limits", get(loki::drilldown::limits))
        .route("/loki/api/v1/status/buildinfo", get(loki::status::buildinfo))
}

fn rule_routes(base: &str) -> Router<SharedApp> {
    use loki::rules;
    Router::new()
        .route(base, get(rules::list))
        .route(
            &format!("{base}/{{namespace}}"),
            get(rules::list).post(rules::create).delete(rules::namespace),
        )
        .route(
            &format!("{base}/{{namespace}}/{{group}}"),
            get(rules::group).delete(rules::group),
        )
}

fn prometheus_routes() -> Router<SharedApp> {
    use prometheus::{
        admin_tsdb, cardinality, empty, exemplars, features, federate, labels, metadata, otlp, query, query_ast,
        query_range, remote_read, series, status, write,
    };
    Router::new()
        .route("/api/v1/write", post(write::write))
        .route("/api/v1/push", post(write::write))
        .route("/api/v1/otlp/v1/metrics", post(otlp::metrics))
        // What exporters ask for that know the server's address alone.
        .route("/otlp/v1/metrics", post(otlp::metrics))
        .route("/api/v1/query", get(query::query).post(query::query))
        .route(
            "/api/v1/query_range",
            get(query_range::query_range).post(query_range::query_range),
        )
        .route("/api/v1/series", get(series::series).post(series::series))
        .route("/api/v1/labels", get(labels::names).post(labels::names))
        .route("/api/v1/label/{name}/values", get(labels::values).post(labels::values))
        .route("/api/v1/status/buildinfo", get(status::buildinfo))
        .route("/api/v1/status/flags", get(status::flags))
        .route("/api/v1/status/runtimeinfo", get(status::runtimeinfo))
        .route("/api/v1/status/config", get(status::config))
        .route("/api/v1/status/walreplay", get(status::walreplay))
        .route("/api/v1/status/tsdb", get(cardinality::tsdb))
        .route(
            "/api/v1/cardinality/label_names",
            get(cardinality::label_names).post(cardinality::label_names),
        )
        .route(
            "/api/v1/cardinality/label_values",
            get(cardinality::label_values).post(cardinality::label_values),
        )
        .route(
            "/api/v1/cardinality/active_series",
            get(cardinality::active_series).post(cardinality::active_series),
        )
        .route(
            "/api/v1/admin/tsdb/delete_series",
            post(admin_tsdb::delete_series).put(admin_tsdb::delete_series),
        )
        .route(
            "/api/v1/admin/tsdb/clean_tombstones",
            post(admin_tsdb::clean_tombstones).put(admin_tsdb::clean_tombstones),
        )
        .route("/api/v1/features", get(features::features))
        .route("/api/v1/read", post(remote_read::read))
        .route("/federate", get(federate::federate))
        .route(
            "/api/v1/format_query",
            get(query_ast::format_query).post(query_ast::format_query),
        )
        .route(
            "/api/v1/parse_query",
            get(query_ast::parse_query).post(query_ast::parse_query),
        )
        .route("/api/v1/metadata", get(metadata::metadata))
        .route("/api/v1/targets", get(empty::targets))
        .route("/api/v1/targets/metadata", get(empty::targets_metadata))
        .route("/api/v1/targets/relabel_steps", get(empty::relabel_steps))
        .route("/api/v1/scrape_pools", get(empty::scrape_pools))
        .route("/api/v1/scrape_pools/config", get(empty::scrape_pool_config))
        .route("/api/v1/alertmanagers", get(empty::alertmanagers))
        .route("/api/v1/rules", get(empty::rules))
        .route("/api/v1/alerts", get(empty::alerts))
        .route("/api/v1/notifications", get(empty::notifications))
        .route(
            "/api/v1/query_exemplars",
            get(exemplars::query_exemplars).post(exemplars::query_exemplars),
        )
}

fn admin_routes() -> Router<SharedApp> {
    Router::new()
        .route("/ready", get(admin::ready::ready))
        .route("/-/ready", get(admin::ready::ready))
        .route("/-/healthy", get(admin::ready::healthy))
        .route("/-/quit", lifecycle_route())
        .route("/-/reload", lifecycle_route())
        .route("/version", get(prometheus::status::version))
        .route("/metrics", get(admin::metrics::metrics))
        .route("/config", get(admin::config_page::config))
        .route("/config/tenant/v1/limits", get(admin::config_page::tenant_limits))
        .route("/services", get(admin::pages::services))
        .route(
            "/log_level",
            get(admin::log_level::get)
                .post(admin::log_level::set)
                .put(admin::log_level::set),
        )
        .route("/ring", get(admin::pages::ring))
        .route("/distributor/ring", get(admin::pages::ring))
        .route("/compactor/ring", get(admin::pages::ring))
        .route("/indexgateway/ring", get(admin::pages::ring))
        .route("/pattern/ring", get(admin::pages::ring))
        .route("/ruler/ring", get(admin::pages::ring))
        .route("/scheduler/ring", get(admin::pages::ring))
        .route("/memberlist", get(admin::pages::memberlist))
        .route("/flush", get(admin::flush::flush).post(admin::flush::flush))
        // One tenant's rows are not flushed apart: they go with all others.
        .route("/flush/tenant", post(admin::flush::tenant))
        .route(
            "/ingester/prepare_shutdown",
            get(admin::shutdown::get)
                .post(admin::shutdown::set)
                .delete(admin::shutdown::unset),
        )
        .route("/garner/api/v1/admin/compact", post(admin::compact::compact))
        .route("/garner/api/v1/admin/upkeep", get(admin::upkeep::upkeep))
}

fn lifecycle_route() -> MethodRouter<SharedApp> {
    use admin::lifecycle::{disabled, wrong_method};
    get(wrong_method).post(disabled).put(disabled)
}

/// Go's text for what does not exist.
async fn not_found() -> TextFailure {
    TextFailure(Failure::new(FailureKind::NotFound, "404 page not found"))
}

/// Sends clients with an unclean path to the clean one, as Go does (net/http, `ServeMux`).
async fn redirect_unclean(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if !path.contains("//") && !path.contains("/.") {
        return next.run(request).await;
    }
    let clean = clean_path(path);
    if clean == path {
        return next.run(request).await;
    }
    let location = match request.uri().query() {
        Some(query) => format!("{clean}?{query}"),
        None => clean,
    };
    (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, location)]).into_response()
}

/// Without doubled slashes and without `.` and `..` as parts.
fn clean_path(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let slash = if path.ends_with('/') && !parts.is_empty() {
        "/"
    } else {
        ""
    };
    format!("/{}{slash}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_go_does() {
        for (path, expected) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/b/"),
            ("/loki/api/v1/label//values", "/loki/api/v1/label/values"),
            ("//a/./b/../c", "/a/c"),
            ("/..", "/"),
            ("//evil.example", "/evil.example"),
        ] {
            assert_eq!(clean_path(path), expected);
        }
    }
}
