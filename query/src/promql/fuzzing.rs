//! What holds for every text that somebody sends as a query, however odd. The fuzz target (`fuzz/`) calls this, and a test
//! replays its corpus.

use garner_storage::model::NANOS_PER_SECOND;

use super::lower::{LowerRequest, lower};
use super::parser::{ParseOptions, parse_expr, parse_metric_selector};
use super::prettier::prettify;

/// Parses, prints and lowers `text`. Panics where what was printed is another query, and nowhere else.
#[allow(clippy::panic, reason = "a fuzz target reports by panicking")]
pub fn check(text: &str) {
    let options = ParseOptions::default();
    let _ = parse_expr(text, &ParseOptions::STABLE);
    let _ = parse_metric_selector(text);
    let Ok(expr) = parse_expr(text, &options) else {
        return;
    };
    let printed = expr.to_string();
    for (form, again) in [("printed", printed.clone()), ("formatted", prettify(&expr))] {
        match parse_expr(&again, &options) {
            Ok(same) if same.to_string() == printed => {}
            Ok(other) => panic!("{text:?} {form} is {again:?}, which means {other}"),
            // What is printed has more parentheses and spaces, so that it can reach a limit that the text did not.
            Err(error) if again.len() > text.len() && is_limit(&error.to_string()) => {}
            Err(error) => panic!("{text:?} {form} is {again:?}, which is refused: {error}"),
        }
    }
    let step = 15 * NANOS_PER_SECOND;
    for request in [
        LowerRequest::instant(100 * NANOS_PER_SECOND, step),
        LowerRequest::range(0, 100 * NANOS_PER_SECOND, step, step),
    ] {
        let _ = lower(&expr, &request);
    }
}

fn is_limit(error: &str) -> bool {
    [
        "nested deeper",
        "chains more",
        "operations in duration",
        "bytes, at most",
    ]
    .iter()
    .any(|part| error.contains(part))
}
