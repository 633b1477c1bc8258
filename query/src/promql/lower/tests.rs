//! Queries and the plans they become, drawn as text.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::error::QueryErrorKind;
use crate::functions::window::Reach;
use crate::plan::{RawRange, SamplesNode, Select, SubqueryNode, VectorPlan};
use crate::promql::{ParseOptions, parse_expr};

const SECOND: i64 = 1_000_000_000;

/// A plan in one line; `once(…)` is what all steps share.
fn draw(plan: &VectorPlan) -> String {
    let list = |plans: &[VectorPlan]| plans.iter().map(|p| format!(", {}", draw(p))).collect::<String>();
    match plan {
        VectorPlan::Number(value) => value.to_string(),
        VectorPlan::String(text) => format!("{text:?}"),
        VectorPlan::Time => "time".to_string(),
        VectorPlan::Samples(node) => draw_samples(node),
        VectorPlan::Subquery(node) => draw_subquery(node),
        VectorPlan::Matrix(RawRange::Samples(node)) => format!("raw {}", draw_samples(node)),
        VectorPlan::Matrix(RawRange::Subquery(node)) => format!("raw {}", draw_subquery(node)),
        VectorPlan::Scalar(input) => format!("scalar({})", draw(input)),
        VectorPlan::Vector(input) => format!("vector({})", draw(input)),
        VectorPlan::Negate(input) => format!("-{}", draw(input)),
        VectorPlan::Binary { op, left, right, .. } => format!("({} {} {})", draw(left), op.as_str(), draw(right)),
        VectorPlan::Set { op, left, right, .. } => format!("({} {} {})", draw(left), op.as_str(), draw(right)),
        VectorPlan::Aggregate {
            op,
            param,
            label,
            input,
            ..
        } => {
            let param = param.as_ref().map(|p| format!("{}, ", draw(p))).unwrap_or_default();
            let label = label.as_ref().map(|l| format!("{l:?}, ")).unwrap_or_default();
            format!("{}({param}{label}{})", op.as_str(), draw(input))
        }
        VectorPlan::Function { function, input, args } => {
            format!("{}({}{})", function.as_str(), draw(input), list(args))
        }
        VectorPlan::HistogramFunction { function, input } => format!("{}({})", function.as_str(), draw(input)),
        VectorPlan::HistogramQuantiles {
            input,
            label,
            quantiles,
            ..
        } => {
            let quantiles: String = quantiles.iter().map(|(q, _)| format!(", {}", draw(q))).collect();
            format!("histogram_quantiles({}, {label:?}{quantiles})", draw(input))
        }
        VectorPlan::HistogramQuantile { quantile, input, .. } => {
            format!("histogram_quantile({}, {})", draw(quantile), draw(input))
        }
        VectorPlan::HistogramFraction {
            lower, upper, input, ..
        } => {
            format!("histogram_fraction({}, {}, {})", draw(lower), draw(upper), draw(input))
        }
        VectorPlan::LabelReplace { input, target, .. } => format!("label_replace({}, {target})", draw(input)),
        VectorPlan::LabelJoin {
            input, target, sources, ..
        } => {
            format!("label_join({}, {target}, {})", draw(input), sources.join(", "))
        }
        VectorPlan::Absent { input, labels } => format!("absent({}, {labels})", draw(input)),
        VectorPlan::Sort { input, .. } | VectorPlan::SortByLabel { input, .. } => format!("sort({})", draw(input)),
        VectorPlan::StepInvariant(input) => format!("once({})", draw(input)),
        VectorPlan::Info(node) => {
            let matchers: Vec<String> = node.matchers.iter().map(|m| m.to_string()).collect();
            let (matchers, place) = (matchers.join(","), draw_place(node.offset_ns, node.at_ns));
            format!("info({}, {{{matchers}}}{place})", draw(&node.input))
        }
        VectorPlan::Leaf(leaf) => format!("{leaf:?}"),
    }
}

fn draw_place(offset_ns: i64, at_ns: Option<i64>) -> String {
    let seconds = |nanos: i64| nanos as f64 / SECOND as f64;
    let at = at_ns.map(|at| format!(" @{}", seconds(at))).unwrap_or_default();
    let offset = if offset_ns == 0 {
        String::new()
    } else {
        format!(" -{}", seconds(offset_ns))
    };
    format!("{at}{offset}")
}

fn draw_samples(node: &SamplesNode) -> String {
    let matchers: Vec<String> = node.matchers.iter().map(|m| m.to_string()).collect();
    let (matchers, place) = (matchers.join(","), draw_place(node.offset_ns, node.at_ns));
    let place = if node.counts_only {
        format!("{place} counts")
    } else {
        place
    };
    match &node.select {
        Select::Instant { .. } => format!("{{{matchers}}}{place}"),
        Select::Timestamp { .. } => format!("time of {{{matchers}}}{place}"),
        Select::StartTimestamp { .. } => format!("start of {{{matchers}}}{place}"),
        Select::Smoothed => format!("{{{matchers}}} smoothed{place}"),
        Select::Range {
            range_ns,
            reach,
            function,
            params,
        } => {
            let params: String = params.iter().map(|p| format!(", {}", draw(p))).collect();
            let range = range_ns / SECOND;
            let reach = match reach {
                Reach::Inside => "",
                Reach::Anchored => " anchored",
                Reach::Smoothed => " smoothed",
            };
            format!("{}({{{matchers}}}[{range}]{reach}{place}{params})", function.as_str())
        }
    }
}

fn draw_subquery(node: &SubqueryNode) -> String {
    let params: String = node.params.iter().map(|p| format!(", {}", draw(p))).collect();
    let (range, step) = (node.range_ns / SECOND, node.step_ns / SECOND);
    let place = draw_place(node.offset_ns, node.at_ns);
    format!(
        "{}({}[{range}:{step}]{place}{params})",
        node.function.as_str(),
        draw(&node.input)
    )
}

fn plan(query: &str, request: &LowerRequest) -> Result<String, String> {
    let expr = parse_expr(query, &ParseOptions::default()).map_err(|e| e.to_string())?;
    lower(&expr, request).map(|plan| draw(&plan)).map_err(|e| e.to_string())
}

/// In a query from 100 s to 200 s at 10 s, subqueries at 60 s.
fn check(query: &str, expected: &str) {
    let request = LowerRequest::range(100 * SECOND, 200 * SECOND, 10 * SECOND, 60 * SECOND);
    assert_eq!(plan(query, &request).as_deref(), Ok(expected), "{query}");
}

fn refuse(query: &str, expected: &str) {
    let request = LowerRequest::range(100 * SECOND, 200 * SECOND, 10 * SECOND, 60 * SECOND);
    assert_eq!(plan(query, &request), Err(expected.to_string()), "{query}");
}

const A: &str = r#"{__name__="a"}"#;

#[test]
fn selectors_and_their_places() {
    check("a", A);
    check("a{x!=\"1\"} offset 90s", r#"{x!="1",__name__="a"} -90"#);
    check("a offset -1m @ 7", r#"once({__name__="a"} @7 --60)"#);
    check("a @ start() + a @ end()", &format!("once(({A} @100 + {A} @200))"));
    check("rate(a[5m] offset 1500ms)", r#"rate({__name__="a"}[300] -1.5)"#);
    check(
        "rate(a[step() * 3] offset -(range() / 2))",
        r#"rate({__name__="a"}[30] --50)"#,
    );
    check(
        "quantile_over_time(0.5, a[1m])",
        r#"quantile_over_time({__name__="a"}[60], 0.5)"#,
    );
    check("timestamp(a)", &format!("time of {A}"));
    check("timestamp((a offset 5m @ 1))", &format!("once(time of {A} @1)"));
    check("timestamp(abs(a))", &format!("timestamp(abs({A}))"));
}

#[test]
fn subqueries() {
    check("max_over_time(a[5m:])", &format!("max_over_time({A}[300:60])"));
    check("max_over_time(rate(a[1m])[5m:30s] @ 9 offset 1m)", {
        r#"once(max_over_time(rate({__name__="a"}[60])[300:30] @9 -60))"#
    });
    check(
        "sum_over_time((a @ 5)[5m:])",
        &format!("sum_over_time(once({A} @5)[300:60])"),
    );
    check(
        "sum_over_time(vector(1)[5m:])",
        "sum_over_time(once(vector(1))[300:60])",
    );
    check(
        "sum_over_time(vector(time())[5m:])",
        "sum_over_time(vector(time)[300:60])",
    );
}

#[test]
fn what_every_step_shares_is_marked_at_its_highest_place() {
    check("sum(a @ 1) + a", &format!("(once(sum({A} @1)) + {A})"));
    check("sum(a @ 1) + 2", &format!("once((sum({A} @1) + 2))"));
    check("1 + 2", "once((1 + 2))");
    check("1", "1");
    check("-(a @ 1)", &format!("once(-{A} @1)"));
    check("+a", A);
    check("abs(a @ 1)", &format!("once(abs({A} @1))"));
    check("hour(a @ 1)", &format!("hour(once({A} @1))"));
    check("hour()", "hour(vector(time))");
    check(
        "predict_linear(a[1m] @ 1, 5)",
        r#"predict_linear({__name__="a"}[60] @1, 5)"#,
    );
    check(
        "clamp_min(a, scalar(a @ 1))",
        &format!("clamp_min({A}, once(scalar({A} @1)))"),
    );
    check("topk(time(), a @ 1)", &format!("once(topk(time, {A} @1))"));
    check("time() + start() + step()", "((time + 100) + 10)");
    check("pi() * range()", "once((3.141592653589793 * 100))");
    check("max_of(1, min_of(time(), 3))", "(1 max_of (time min_of 3))");
    check("limit_ratio(0.5, a)", &format!("limit_ratio(0.5, {A})"));
}

#[test]
fn functions_with_shapes_of_their_own() {
    check("absent(a{x=\"1\",y=\"2\",y=\"3\",z!=\"4\"})", {
        r#"absent({x="1",y="2",y="3",z!="4",__name__="a"}, {x="1"})"#
    });
    check("absent_over_time(a{x=\"1\"}[1m])", {
        r#"absent(last_over_time({x="1",__name__="a"}[60]), {x="1"})"#
    });
    check("absent(sum(a))", &format!("absent(sum({A}), {{}})"));
    check(
        "count_values without(x)(\"v\", a)",
        &format!("count_values(\"v\", {A})"),
    );
    check(
        "label_join(a, \"x\", \",\", \"y\", \"z\")",
        &format!("label_join({A}, x, y, z)"),
    );
    check(
        "label_replace(a, (\"x\"), \"$1\", \"y\", \"(.*)\")",
        &format!("label_replace({A}, x)"),
    );
    check(
        "histogram_quantile(0.9, sum by (le) (a))",
        &format!("histogram_quantile(0.9, sum({A}))"),
    );
    check("histogram_count(a)", &format!("histogram_count({A} counts)"));
    check(
        "histogram_quantiles(a, \"q\", 0.5, 0.9)",
        &format!("histogram_quantiles({A}, \"q\", 0.5, 0.9)"),
    );
    check("round(a, 5)", &format!("round({A}, 5)"));
    check("a and on() vector(1)", &format!("({A} and once(vector(1)))"));
}

#[test]
fn windows_that_reach_beyond_their_bounds() {
    check("rate(a[1m] anchored)", r#"rate({__name__="a"}[60] anchored)"#);
    check(
        "delta(a[1m] smoothed offset 5s)",
        r#"delta({__name__="a"}[60] smoothed -5)"#,
    );
    check("a smoothed @ 7", r#"once({__name__="a"} smoothed @7)"#);
    check("a anchored", A);
    check("timestamp(a smoothed)", &format!("time of {A}"));
}

#[test]
fn info_is_joined_as_of_the_first_selector() {
    let info = r#"{__name__="target_info"}"#;
    check("info(a)", &format!("info({A}, {info})"));
    check("info(a @ 7 offset 5s)", &format!("once(info({A} @7 -5, {info} @7 -5))"));
    check(
        "info(a @ 7, {x=\"1\"})",
        r#"info(once({__name__="a"} @7), {__name__="target_info",x="1"} @7)"#,
    );
    check("info(a, {__name__!=\"x_info\",y=\"2\"})", {
        r#"info({__name__="a"}, {__name__=~".+_info",__name__!="x_info",y="2"})"#
    });
    check("info(rate(b[1m] offset 3s) + a, {__name__=~\"i.*\"})", {
        r#"info((rate({__name__="b"}[60] -3) + {__name__="a"}), {__name__=~"i.*"} -3)"#
    });
    check("info(last_over_time((a offset 1m)[10m:1m] @ 180 offset 5s))", {
        r#"once(info(last_over_time({__name__="a"} -60[600:60] @180 -5), {__name__="target_info"} @180 -65))"#
    });
    check("info(vector(1))", &format!("once(info(vector(1), {info}))"));
}

#[test]
fn buckets_are_left_out_where_only_counts_are_read() {
    let rate = |counts: &str| format!("rate({{__name__=\"a\"}}[300]{counts})");
    let (whole, counts) = (rate(""), rate(" counts"));
    check("histogram_sum(rate(a[5m]))", &format!("histogram_sum({counts})"));
    check(
        "histogram_avg(sum(rate(a[5m])) + rate(a[5m]))",
        &format!("histogram_avg((sum({counts}) + {counts}))"),
    );
    check("histogram_stddev(rate(a[5m]))", &format!("histogram_stddev({whole})"));
    check(
        "histogram_count(a) / histogram_fraction(0, 1, a)",
        &format!("(histogram_count({A} counts) / histogram_fraction(0, 1, {A}))"),
    );
    check(
        "histogram_quantile(0.5, histogram_count(a))",
        &format!("histogram_quantile(0.5, histogram_count({A}))"),
    );
    check("histogram_count(a </ 1)", &format!("histogram_count(({A} </ 1))"));
    check(
        "histogram_count(last_over_time(a[1h:]))",
        "histogram_count(last_over_time({__name__=\"a\"}[3600:60]))",
    );
}

#[test]
fn refused_while_lowering() {
    refuse("1 </ 2", "operator \"</\" not allowed for Scalar operations");
    let range_type = "for range query, must be Scalar or instant Vector";
    refuse(
        "a[5m]",
        &format!("invalid expression type \"range vector\" {range_type}"),
    );
    refuse("\"x\"", &format!("invalid expression type \"string\" {range_type}"));
    refuse("rate(a[step() - 10])", "7:18: duration must be greater than 0");
    refuse("rate(a[step() / (step() - 10)])", "7:28: division by zero");
    refuse("a offset (1e3 ^ 200)", "10:19: duration is NaN or infinite");
    refuse("count_values(\"\", a)", "invalid label name \"\"");
    refuse("count_values(\"a\\xc5z\", a)", "invalid label name \"a\\xc5z\"");
    refuse(
        "label_replace(a, \"\", \"\", \"\", \"\")",
        "invalid destination label name in label_replace(): ",
    );
    refuse(
        "label_replace(a, \"x\", \"\", \"\", \"(\")",
        "invalid regular expression in label_replace(): (",
    );
    refuse(
        "label_join(a, \"x\", \"\", \"\")",
        "invalid source label name in label_join(): ",
    );
    refuse(
        "deriv(a[5m] smoothed)",
        "smoothed modifier can only be used with: delta, increase, rate - not with deriv",
    );
}

#[test]
fn instants_may_be_ranges_or_text() {
    let request = LowerRequest::instant(100 * SECOND, 60 * SECOND);
    let check = |query: &str, expected: &str| assert_eq!(plan(query, &request).as_deref(), Ok(expected), "{query}");
    check("(a[5m] @ end())", r#"raw last_over_time({__name__="a"}[300] @100)"#);
    check("a[5m:]", &format!("raw last_over_time({A}[300:60])"));
    check("(\"x\")", "\"x\"");
    check("step() + range()", "once((0 + 0))");
    let expr = parse_expr("\"x\"", &ParseOptions::default()).unwrap();
    let range = LowerRequest::range(0, 1, 1, 1);
    assert_eq!(lower(&expr, &range).unwrap_err().kind(), QueryErrorKind::BadData);
}
