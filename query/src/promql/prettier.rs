//! Queries over several lines, as `format_query` gives them (prometheus `promql/parser/prettier.go`): what is longer than
//! a line is split at its outermost operator, call or aggregation, and its parts are indented one level.

use super::ast::Expr;
use super::printer::{AggregateHead, BinaryHead, SubqueryTail};

/// Longest text that stays on one line.
const MAX_LINE_BYTES: usize = 100;
const INDENT: &str = "  ";

/// `expr` over as many lines as it needs.
pub fn prettify(expr: &Expr) -> String {
    pretty(expr, 0)
}

fn pretty(expr: &Expr, level: usize) -> String {
    let indent = INDENT.repeat(level);
    let line = expr.to_string();
    let split = line.len() > MAX_LINE_BYTES;
    match expr {
        Expr::Aggregate(e) if split => {
            let param = e.param.as_ref().map(|p| format!("{},\n", pretty(p, level + 1)));
            let (head, param) = (AggregateHead(e), param.unwrap_or_default());
            format!("{indent}{head}(\n{param}{}\n{indent})", pretty(&e.expr, level + 1))
        }
        Expr::Binary(e) if split => {
            let (lhs, rhs) = (pretty(&e.lhs, level + 1), pretty(&e.rhs, level + 1));
            format!("{lhs}\n{indent}{}\n{rhs}", BinaryHead(e))
        }
        Expr::Call(e) if split => {
            let args: Vec<String> = e.args.iter().map(|arg| pretty(arg, level + 1)).collect();
            format!("{indent}{}(\n{}\n{indent})", e.func.name, args.join(",\n"))
        }
        Expr::Paren(e) if split => format!("{indent}(\n{}\n{indent})", pretty(&e.expr, level + 1)),
        Expr::Subquery(e) if split => format!("{}{}", pretty(&e.expr, level), SubqueryTail(e)),
        // Upstream writes a short subquery without its indentation.
        Expr::Subquery(_) => line,
        Expr::Unary(e) => {
            let sign = if e.negative { "-" } else { "+" };
            format!("{indent}{sign}{}", pretty(&e.expr, level).trim())
        }
        _ => format!("{indent}{line}"),
    }
}
