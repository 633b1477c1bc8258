//! The functions of the language with their types (prometheus `promql/parser/functions.go`).

use super::ast::ValueType::{self, Matrix, Scalar, String, Vector};

/// A function's signature.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// The name, case-sensitive.
    pub name: &'static str,
    /// Types of the arguments; the last one repeats where `variadic` is not 0.
    pub args: &'static [ValueType],
    /// 0: exactly `args`. `n > 0`: the last argument may be missing, or stand up to `n` times. Negative: any number of times.
    pub variadic: i8,
    /// What it evaluates to.
    pub returns: ValueType,
    /// Whether it stands behind the switch for experimental functions.
    pub experimental: bool,
}

impl Function {
    const fn new(name: &'static str, args: &'static [ValueType], returns: ValueType) -> Self {
        Function {
            name,
            args,
            variadic: 0,
            returns,
            experimental: false,
        }
    }

    const fn variadic(mut self, variadic: i8) -> Self {
        self.variadic = variadic;
        self
    }

    const fn experimental(mut self) -> Self {
        self.experimental = true;
        self
    }
}

/// A vector in, a vector out.
const fn instant(name: &'static str) -> Function {
    Function::new(name, &[Vector], Vector)
}

/// A range vector in, a vector out.
const fn ranged(name: &'static str) -> Function {
    Function::new(name, &[Matrix], Vector)
}

/// Part of the time of a vector's values, or of the evaluation time where there is no argument.
const fn calendar(name: &'static str) -> Function {
    Function::new(name, &[Vector], Vector).variadic(1)
}

/// Every function, sorted by name.
pub static FUNCTIONS: &[Function] = &[
    instant("abs"),
    instant("absent"),
    ranged("absent_over_time"),
    instant("acos"),
    instant("acosh"),
    instant("asin"),
    instant("asinh"),
    instant("atan"),
    instant("atanh"),
    ranged("avg_over_time"),
    instant("ceil"),
    ranged("changes"),
    Function::new("clamp", &[Vector, Scalar, Scalar], Vector),
    Function::new("clamp_max", &[Vector, Scalar], Vector),
    Function::new("clamp_min", &[Vector, Scalar], Vector),
    instant("cos"),
    instant("cosh"),
    ranged("count_over_time"),
    calendar("day_of_month"),
    calendar("day_of_week"),
    calendar("day_of_year"),
    calendar("days_in_month"),
    instant("deg"),
    ranged("delta"),
    ranged("deriv"),
    Function::new("double_exponential_smoothing", &[Matrix, Scalar, Scalar], Vector).experimental(),
    Function::new("end", &[], Scalar).experimental(),
    instant("exp"),
    ranged("first_over_time"),
    instant("floor"),
    instant("histogram_avg"),
    instant("histogram_count"),
    Function::new("histogram_fraction", &[Scalar, Scalar, Vector], Vector),
    Function::new("histogram_quantile", &[Scalar, Vector], Vector),
    Function::new("histogram_quantiles", &[Vector, String, Scalar, Scalar], Vector)
        .variadic(9)
        .experimental(),
    instant("histogram_stddev"),
    instant("histogram_stdvar"),
    instant("histogram_sum"),
    calendar("hour"),
    ranged("idelta"),
    ranged("increase"),
    Function::new("info", &[Vector, Vector], Vector)
        .variadic(1)
        .experimental(),
    ranged("irate"),
    Function::new("label_join", &[Vector, String, String, String], Vector).variadic(-1),
    Function::new("label_replace", &[Vector, String, String, String, String], Vector),
    ranged("last_over_time"),
    instant("ln"),
    instant("log10"),
    instant("log2"),
    ranged("mad_over_time").experimental(),
    Function::new("max_of", &[Scalar, Scalar], Scalar).experimental(),
    ranged("max_over_time"),
    Function::new("min_of", &[Scalar, Scalar], Scalar).experimental(),
    ranged("min_over_time"),
    calendar("minute"),
    calendar("month"),
    Function::new("pi", &[], Scalar),
    Function::new("predict_linear", &[Matrix, Scalar], Vector),
    ranged("present_over_time"),
    Function::new("quantile_over_time", &[Scalar, Matrix], Vector),
    instant("rad"),
    Function::new("range", &[], Scalar).experimental(),
    ranged("rate"),
    ranged("resets"),
    Function::new("round", &[Vector, Scalar], Vector).variadic(1),
    Function::new("scalar", &[Vector], Scalar),
    instant("sgn"),
    instant("sin"),
    instant("sinh"),
    instant("sort"),
    Function::new("sort_by_label", &[Vector, String], Vector)
        .variadic(-1)
        .experimental(),
    Function::new("sort_by_label_desc", &[Vector, String], Vector)
        .variadic(-1)
        .experimental(),
    instant("sort_desc"),
    instant("sqrt"),
    Function::new("start", &[], Scalar).experimental(),
    instant("start_timestamp").experimental(),
    ranged("stddev_over_time"),
    ranged("stdvar_over_time"),
    Function::new("step", &[], Scalar).experimental(),
    ranged("sum_over_time"),
    instant("tan"),
    instant("tanh"),
    Function::new("time", &[], Scalar),
    instant("timestamp"),
    ranged("ts_of_first_over_time").experimental(),
    ranged("ts_of_last_over_time").experimental(),
    ranged("ts_of_max_over_time").experimental(),
    ranged("ts_of_min_over_time").experimental(),
    Function::new("vector", &[Scalar], Vector),
    calendar("year"),
];

/// The function of this name.
pub fn function(name: &str) -> Option<&'static Function> {
    let index = FUNCTIONS.binary_search_by(|f| f.name.cmp(name)).ok()?;
    FUNCTIONS.get(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_every_function_is_found() {
        assert!(FUNCTIONS.is_sorted_by(|a, b| a.name < b.name));
        for f in FUNCTIONS {
            assert_eq!(function(f.name), Some(f));
        }
        assert_eq!(function("Rate"), None);
        assert_eq!(FUNCTIONS.len(), 90);
    }
}
