//! Prints a tree as Loki prints it: on one line ([`to_string`]) and split where it is long ([`prettify`]).

use super::ast::{
    BinaryModifier, BinaryOp, Cardinality, Expr, Extraction, Grouping, LabelFilter, LabelFormatValue, LineFilter,
    LogExpr, LogRange, LogfmtFlags, MatchOp, Matcher, MetricExpr, NamedMatcher, Stage, Unwrap, VectorOp,
};
use super::units::{format_bytes, format_float, format_go_duration, format_prometheus_duration, parse_bytes, quote};

/// Expressions longer than this are split over lines, as in Loki.
const MAX_CHARS_PER_LINE: usize = 100;

/// The query on one line.
pub fn to_string(expr: &Expr) -> String {
    match expr {
        Expr::Log(log) => log_expr(log),
        Expr::Metric(metric) => metric_expr(metric),
    }
}

/// The query for reading: `format_query`.
pub fn prettify(expr: &Expr) -> String {
    match expr {
        Expr::Log(log) => pretty_log(log, 0),
        Expr::Metric(metric) => pretty_metric(metric, 0),
    }
}

/// Whether a name is one wherever it stands.
pub(super) fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric())
}

fn name(text: &str) -> String {
    if is_plain_name(text) {
        text.to_string()
    } else {
        quote(text)
    }
}

/// `name="value"`.
pub fn matcher(m: &Matcher) -> String {
    format!("{}{}{}", name(&m.name), m.op.as_str(), quote(&m.value))
}

/// `{a="b", c="d"}`.
pub fn selector(matchers: &[Matcher]) -> String {
    format!("{{{}}}", matchers.iter().map(matcher).collect::<Vec<_>>().join(", "))
}

/// A selector with its stages.
pub fn log_expr(log: &LogExpr) -> String {
    let mut out = selector(&log.matchers);
    for s in &log.stages {
        out.push(' ');
        out.push_str(&stage(s));
    }
    out
}

fn line_filter(filter: &LineFilter) -> String {
    let operands: Vec<String> = filter
        .operands
        .iter()
        .map(|o| {
            if o.ip {
                format!("ip({})", quote(&o.text))
            } else {
                quote(&o.text)
            }
        })
        .collect();
    format!("{} {}", filter.op.as_str(), operands.join(" or "))
}

/// One stage, with its `|`.
pub fn stage(stage: &Stage) -> String {
    match stage {
        Stage::LineFilters(filters) => filters.iter().map(line_filter).collect::<Vec<_>>().join(" "),
        Stage::Json => "| json".into(),
        Stage::JsonExpressions(list) => format!("| json {}", extractions(list)),
        Stage::Logfmt(flags) => format!("| logfmt{}", logfmt_flags(*flags).trim_end()),
        Stage::LogfmtExpressions(flags, list) => {
            format!("| logfmt {}{}", logfmt_flags(*flags).trim_start(), extractions(list))
        }
        Stage::Regexp(pattern) => format!("| regexp {}", quote(pattern)),
        Stage::Pattern(pattern) => format!("| pattern {}", quote(pattern)),
        Stage::Unpack => "| unpack".into(),
        Stage::LabelFilter(filter) => format!("| {}", label_filter(filter)),
        Stage::LineFormat(template) => format!("| line_format {}", quote(template)),
        Stage::LabelFormat(list) => {
            let parts = list.iter().map(|f| match &f.value {
                LabelFormatValue::Rename(source) => format!("{}={source}", f.label),
                LabelFormatValue::Template(template) => format!("{}={}", f.label, quote(template)),
            });
            format!("| label_format {}", parts.collect::<Vec<_>>().join(","))
        }
        Stage::Decolorize => "| decolorize".into(),
        Stage::Drop(list) => format!("| drop {}", named_matchers(list)),
        Stage::Keep(list) => format!("| keep {}", named_matchers(list)),
    }
}

fn logfmt_flags(flags: LogfmtFlags) -> String {
    let strict = if flags.strict { " --strict" } else { "" };
    let keep = if flags.keep_empty { " --keep-empty" } else { "" };
    match format!("{strict}{keep}") {
        text if text.is_empty() => text,
        text => text + " ",
    }
}

fn extractions(list: &[Extraction]) -> String {
    let parts = list.iter().map(|e| format!("{}={}", e.label, quote(&e.expression)));
    parts.collect::<Vec<_>>().join(",")
}

fn named_matchers(list: &[NamedMatcher]) -> String {
    let parts = list.iter().map(|m| match m {
        NamedMatcher::Name(name) => name.clone(),
        NamedMatcher::Matcher(m) => matcher(m),
    });
    parts.collect::<Vec<_>>().join(",")
}

/// A label filter without its `|`.
pub fn label_filter(filter: &LabelFilter) -> String {
    match filter {
        LabelFilter::Matcher(m) if m.op == MatchOp::Regex && !is_simple_pattern(&m.value) => {
            // Loki keeps such a pattern as its own regex filter, and that prints in backquotes, which lose carriage returns.
            let pattern = if m.value.contains(['`', '\r']) {
                quote(&m.value)
            } else {
                format!("`{}`", m.value)
            };
            format!("{}=~{pattern}", m.name)
        }
        LabelFilter::Matcher(m) => matcher(m),
        LabelFilter::Ip {
            label,
            negative,
            pattern,
        } => format!("{label}{}ip({})", if *negative { "!=" } else { "=" }, quote(pattern)),
        LabelFilter::Duration(label, op, nanos) => format!("{label}{}{}", op.as_str(), format_go_duration(*nanos)),
        LabelFilter::Bytes(label, op, bytes) => format!("{label}{}{}", op.as_str(), exact_bytes(*bytes)),
        LabelFilter::Number(label, op, value) => format!("{label}{}{value}", op.as_str()),
        LabelFilter::And(a, b) => format!("( {} , {} )", label_filter(a), label_filter(b)),
        LabelFilter::Or(a, b) => format!("( {} or {} )", label_filter(a), label_filter(b)),
    }
}

/// A size as Loki prints it, where that means the same size: plans and deletes are kept as text, and Loki rounds to two
/// digits.
fn exact_bytes(bytes: u64) -> String {
    let rounded = format_bytes(bytes);
    match parse_bytes(&rounded) {
        Ok(same) if same == bytes => rounded,
        _ => format!("{bytes}B"),
    }
}

/// Whether Loki turns the pattern into plain text comparisons.
fn is_simple_pattern(pattern: &str) -> bool {
    crate::goregex::plain(pattern, true).is_ok_and(|plain| plain.is_some())
}

fn unwrap_expr(unwrap: &Unwrap, separator: &str) -> String {
    let mut out = match unwrap.conversion.as_str() {
        Some(function) => format!("| unwrap {function}({})", unwrap.label),
        None => format!("| unwrap {}", unwrap.label),
    };
    for filter in &unwrap.filters {
        out.push_str(&format!("{separator}| {}", label_filter(filter)));
    }
    out
}

fn log_range(range: &LogRange) -> String {
    let mut out = log_expr(&range.log);
    if let Some(unwrap) = &range.unwrap {
        out.push_str(&format!(" {}", unwrap_expr(unwrap, " ")));
    }
    out.push_str(&format!("[{}]", format_prometheus_duration(range.range_ns)));
    if range.offset_ns != 0 {
        out.push_str(&format!(" offset {}", format_go_duration(range.offset_ns)));
    }
    out
}

fn grouping(g: &Grouping) -> String {
    format!(" {} ({})", if g.without { "without" } else { "by" }, g.labels.join(","))
}

/// A metric expression on one line.
pub fn metric_expr(expr: &MetricExpr) -> String {
    match expr {
        MetricExpr::Range {
            op,
            parameter,
            range,
            grouping: by,
        } => {
            let parameter = parameter.map(|p| format!("{p},")).unwrap_or_default();
            let by = by.as_ref().map(grouping).unwrap_or_default();
            format!("{}({parameter}{}){by}", op.as_str(), log_range(range))
        }
        MetricExpr::Vector {
            op,
            parameter,
            grouping: by,
            inner,
        } => {
            let by = if by.is_single_group() {
                String::new()
            } else {
                grouping(by)
            };
            let parameter = if op.takes_parameter() {
                format!("{parameter},")
            } else {
                String::new()
            };
            format!("{}{by}({parameter}{})", op.as_str(), metric_expr(inner))
        }
        MetricExpr::Binary {
            op,
            modifier,
            left,
            right,
        } => format!(
            "({} {} {})",
            metric_expr(left),
            operator(*op, modifier),
            metric_expr(right)
        ),
        // `-0` would be read as a duration.
        MetricExpr::Literal(value) if *value == 0.0 && value.is_sign_negative() => "-0.0".to_string(),
        MetricExpr::Literal(value) => format_float(*value),
        MetricExpr::VectorLiteral(value) => format!("vector({value:.6})"),
        MetricExpr::LabelReplace {
            inner,
            destination,
            replacement,
            source,
            pattern,
        } => format!(
            "label_replace({},{},{},{},{})",
            metric_expr(inner),
            quote(destination),
            quote(replacement),
            quote(source),
            quote(pattern)
        ),
        MetricExpr::Invalid(error) => error.to_string(),
    }
}

fn operator(op: BinaryOp, modifier: &BinaryModifier) -> String {
    let mut out = op.as_str().to_string();
    if modifier.return_bool {
        out.push_str(" bool");
    }
    if modifier.on || modifier.labels.is_some() {
        let word = if modifier.on { "on" } else { "ignoring" };
        let labels = modifier.labels.as_deref().unwrap_or_default().join(",");
        out.push_str(&format!(" {word} ({labels}) {}", group_side(modifier, ",")));
    }
    out
}

fn group_side(modifier: &BinaryModifier, separator: &str) -> String {
    let side = match modifier.cardinality {
        Cardinality::OneToOne => "",
        Cardinality::ManyToOne => "group_left",
        Cardinality::OneToMany => "group_right",
    };
    match &modifier.include {
        Some(include) => format!("{side} ({})", include.join(separator)),
        None => side.to_string(),
    }
}

fn indent(level: usize) -> String {
    "  ".repeat(level)
}

fn is_long(text: &str) -> bool {
    text.len() > MAX_CHARS_PER_LINE
}

fn pretty_log(log: &LogExpr, level: usize) -> String {
    let line = log_expr(log);
    if log.stages.is_empty() || !is_long(&line) {
        return indent(level) + &line;
    }
    let mut parts = vec![indent(level) + &selector(&log.matchers)];
    for s in &log.stages {
        match s {
            Stage::LineFilters(filters) if is_long(&stage(s)) => {
                parts.extend(filters.iter().map(|f| indent(level + 1) + &line_filter(f)));
            }
            Stage::Decolorize => parts.push(stage(s)),
            _ => parts.push(indent(level + 1) + &stage(s)),
        }
    }
    parts.join("\n")
}

fn pretty_range(range: &LogRange, level: usize) -> String {
    let mut out = pretty_log(&range.log, level);
    if let Some(unwrap) = &range.unwrap {
        let separator = format!("\n{}", indent(level + 1));
        out.push_str(&format!("\n{}{}", indent(level + 1), unwrap_expr(unwrap, &separator)));
    }
    out.push_str(&format!(" [{}]", format_prometheus_duration(range.range_ns)));
    if range.offset_ns != 0 {
        out.push_str(&format!(" offset {}", format_prometheus_duration(range.offset_ns)));
    }
    out
}

fn pretty_grouping(g: &Grouping) -> String {
    let word = match (g.without, g.labels.is_empty()) {
        (true, _) => " without",
        (false, false) => " by",
        (false, true) => "",
    };
    let labels = if g.labels.is_empty() {
        String::new()
    } else {
        format!(" ({})", g.labels.join(", "))
    };
    format!("{word}{labels}")
}

fn pretty_metric(expr: &MetricExpr, level: usize) -> String {
    let line = metric_expr(expr);
    if !is_long(&line) {
        return indent(level) + &line;
    }
    let call = |head: String, arguments: Vec<String>, tail: String| {
        format!(
            "{}{head}(\n{}\n{}){tail}",
            indent(level),
            arguments.join(",\n"),
            indent(level)
        )
    };
    match expr {
        MetricExpr::Range {
            op,
            parameter,
            range,
            grouping: by,
        } => {
            let mut arguments: Vec<String> = parameter
                .iter()
                .map(|p| indent(level + 1) + &format_float(*p))
                .collect();
            arguments.push(pretty_range(range, level + 1));
            call(
                op.as_str().into(),
                arguments,
                by.as_ref().map(pretty_grouping).unwrap_or_default(),
            )
        }
        MetricExpr::Vector {
            op,
            parameter,
            grouping: by,
            inner,
        } => {
            let mut arguments = Vec::new();
            if op.takes_parameter() || *op == VectorOp::ApproxTopK {
                arguments.push(format!("{}{parameter}", indent(level + 1)));
            }
            arguments.push(pretty_metric(inner, level + 1));
            call(
                format!("{}{}", op.as_str(), pretty_grouping(by)),
                arguments,
                String::new(),
            )
        }
        MetricExpr::Binary {
            op,
            modifier,
            left,
            right,
        } => {
            let mut middle = op.as_str().to_string();
            if modifier.return_bool {
                middle.push_str(" bool");
            }
            if let Some(labels) = &modifier.labels {
                let word = if modifier.on { "on" } else { "ignoring" };
                middle.push_str(&format!(
                    " {word} ({}) {}",
                    labels.join(", "),
                    group_side(modifier, ", ")
                ));
            }
            format!(
                "{}\n{}{middle}\n{}",
                pretty_metric(left, level + 1),
                indent(level),
                pretty_metric(right, level + 1)
            )
        }
        MetricExpr::LabelReplace {
            inner,
            destination,
            replacement,
            source,
            pattern,
        } => {
            let mut arguments = vec![pretty_metric(inner, level + 1)];
            arguments.extend([destination, replacement, source, pattern].map(|a| indent(level + 1) + &quote(a)));
            call("label_replace".into(), arguments, String::new())
        }
        MetricExpr::Literal(_) | MetricExpr::VectorLiteral(_) | MetricExpr::Invalid(_) => indent(level) + &line,
    }
}
