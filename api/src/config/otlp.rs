//! `[limits.otlp_config]`: what becomes of OpenTelemetry attributes, as in Loki's group of that name, with rules as texts.

use garner_ingest::otlp::{AttributeAction, AttributeRule, OtlpConfig};

use super::error::ConfigError;
use super::raw::RawValue;
use super::reader::{BOOL, Kind, LIST, Reader};

/// Declares and reads the group.
pub(super) fn read_otlp(from: &mut Reader<'_>) -> Result<OtlpConfig, ConfigError> {
    let defaults = from.get(
        "limits.otlp_config.default_resource_attributes_as_index_labels",
        &LIST,
        "service.name,service.namespace,service.instance.id,deployment.environment,deployment.environment.name,\
         cloud.region,cloud.availability_zone,k8s.cluster.name,k8s.namespace.name,k8s.pod.name,k8s.container.name,\
         container.name,k8s.replicaset.name,k8s.deployment.name,k8s.statefulset.name,k8s.daemonset.name,\
         k8s.cronjob.name,k8s.job.name",
        "Resource attributes that become labels of OpenTelemetry logs; all others become structured metadata. They are \
         looked at before `limits.otlp_config.resource_attributes`.",
    )?;
    let mut resource = from.get(
        "limits.otlp_config.resource_attributes",
        &ATTRIBUTE_RULES,
        "",
        "What else is done with resource attributes: a list of `index_label=NAME`, `structured_metadata=NAME` or \
         `drop=NAME`, or with `=~` and a pattern of whole names. The first that fits counts.",
    )?;
    if !defaults.is_empty() {
        resource.insert(0, AttributeRule::named(AttributeAction::IndexLabel, defaults));
    }
    Ok(OtlpConfig {
        resource,
        scope: from.get(
            "limits.otlp_config.scope_attributes",
            &SCOPE_RULES,
            "",
            "The same for attributes of scopes, which cannot be labels.",
        )?,
        log: from.get(
            "limits.otlp_config.log_attributes",
            &ATTRIBUTE_RULES,
            "",
            "The same for attributes of log records.",
        )?,
        severity_text_as_label: from.get(
            "limits.otlp_config.severity_text_as_label",
            &BOOL,
            "false",
            "Make the severity of OpenTelemetry log records a label too.",
        )?,
    })
}

/// Rules for attributes.
const ATTRIBUTE_RULES: Kind<Vec<AttributeRule>> =
    Kind::new(r#"a list such as ["index_label=team", "drop=~secret[.].*"]"#, |value| {
        rules(value, &["index_label", "structured_metadata", "drop"])
    });
/// Rules for attributes that cannot be labels.
const SCOPE_RULES: Kind<Vec<AttributeRule>> = Kind::new(
    r#"a list such as ["drop=~secret[.].*"], without index_label"#,
    |value| rules(value, &["structured_metadata", "drop"]),
);

fn rules(value: &RawValue, actions: &[&str]) -> Option<Vec<AttributeRule>> {
    LIST.read(value)?.iter().map(|text| rule(text, actions)).collect()
}

fn rule(text: &str, actions: &[&str]) -> Option<AttributeRule> {
    let (action, names) = text.split_once('=')?;
    let action = match action.trim() {
        known if !actions.contains(&known) => return None,
        "index_label" => AttributeAction::IndexLabel,
        "structured_metadata" => AttributeAction::StructuredMetadata,
        _ => AttributeAction::Drop,
    };
    let Some(pattern) = names.strip_prefix('~') else {
        return Some(AttributeRule::named(action, [names.trim()]));
    };
    // Patterns fit whole names, as Prometheus' relabelling has it.
    let pattern = regex::Regex::new(&format!("^(?s:{pattern})$")).ok()?;
    Some(AttributeRule {
        action,
        names: Vec::new(),
        pattern: Some(pattern.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read() {
        let read = |text: &str| ATTRIBUTE_RULES.read(&RawValue::Scalar(text.to_string()));
        let named = |action, name: &str| AttributeRule::named(action, [name]);
        assert_eq!(
            read("index_label=team, drop=secret"),
            Some(vec![
                named(AttributeAction::IndexLabel, "team"),
                named(AttributeAction::Drop, "secret")
            ])
        );
        let pattern = read("structured_metadata=~k8s[.].*").unwrap_or_default();
        assert_eq!(pattern.len(), 1);
        assert!(
            pattern[0]
                .pattern
                .as_ref()
                .is_some_and(|p| p.is_match("k8s.x") && !p.is_match("xk8s.x"))
        );
        for bad in ["team", "keep=team", "drop=~["] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(SCOPE_RULES.read(&RawValue::Scalar("index_label=a".to_string())), None);
        assert_eq!(read(""), Some(Vec::new()));
    }
}
