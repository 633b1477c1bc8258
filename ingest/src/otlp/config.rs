//! What becomes of OpenTelemetry attributes: labels, structured metadata, or nothing (loki
//! `pkg/loghttp/push/otlplabels/config.go`).

use std::borrow::Cow;
use std::sync::Arc;

use regex::Regex;

/// The resource attributes that become labels where nothing else is said, as in Loki
/// (`distributor.otlp.default_resource_attributes_as_index_labels`).
pub const DEFAULT_INDEX_LABELS: [&str; 18] = [
    "service.name",
    "service.namespace",
    "service.instance.id",
    "deployment.environment",
    "deployment.environment.name",
    "cloud.region",
    "cloud.availability_zone",
    "k8s.cluster.name",
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.container.name",
    "container.name",
    "k8s.replicaset.name",
    "k8s.deployment.name",
    "k8s.statefulset.name",
    "k8s.daemonset.name",
    "k8s.cronjob.name",
    "k8s.job.name",
];

/// What is done with an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttributeAction {
    /// It becomes a label of the stream.
    IndexLabel,
    /// It becomes structured metadata.
    StructuredMetadata,
    /// It is left out.
    Drop,
}

/// Attributes by name and what is done with them.
#[derive(Debug, Clone)]
pub struct AttributeRule {
    /// What is done.
    pub action: AttributeAction,
    /// Whole names.
    pub names: Vec<String>,
    /// A pattern of whole names.
    pub pattern: Option<Arc<Regex>>,
}

impl PartialEq for AttributeRule {
    fn eq(&self, other: &Self) -> bool {
        let pattern = |rule: &Self| rule.pattern.as_ref().map(|p| p.as_str().to_string());
        self.action == other.action && self.names == other.names && pattern(self) == pattern(other)
    }
}

/// Rules for each place that attributes stand in; the first that fits counts, and what none fits becomes structured
/// metadata.
#[derive(Debug, Clone, PartialEq)]
pub struct OtlpConfig {
    /// Of resources.
    pub resource: Vec<AttributeRule>,
    /// Of scopes; never labels.
    pub scope: Vec<AttributeRule>,
    /// Of log records.
    pub log: Vec<AttributeRule>,
    /// Whether the severity's text is a label too.
    pub severity_text_as_label: bool,
}

impl Default for OtlpConfig {
    fn default() -> Self {
        OtlpConfig {
            resource: vec![AttributeRule::named(AttributeAction::IndexLabel, DEFAULT_INDEX_LABELS)],
            scope: Vec::new(),
            log: Vec::new(),
            severity_text_as_label: false,
        }
    }
}

impl AttributeRule {
    /// A rule for whole names.
    pub fn named<N: Into<String>>(action: AttributeAction, names: impl IntoIterator<Item = N>) -> Self {
        AttributeRule {
            action,
            names: names.into_iter().map(Into::into).collect(),
            pattern: None,
        }
    }

    fn fits(&self, name: &str) -> bool {
        self.names.iter().any(|n| n == name) || self.pattern.as_ref().is_some_and(|p| p.is_match(name))
    }
}

/// What the rules say about an attribute.
pub(super) fn action(rules: &[AttributeRule], name: &[u8]) -> AttributeAction {
    if rules.is_empty() {
        return AttributeAction::StructuredMetadata;
    }
    let name: Cow<'_, str> = String::from_utf8_lossy(name);
    let found = rules.iter().find(|rule| rule.fits(&name));
    found.map_or(AttributeAction::StructuredMetadata, |rule| rule.action)
}
