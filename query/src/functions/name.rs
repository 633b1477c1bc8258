//! The functions that exist, by name; how they compute stands in the files beside this one.

use garner_storage::model::Histogram;
use serde::{Deserialize, Serialize};

use super::native::summary;

/// A function of the samples in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RangeFunction {
    /// `rate`
    Rate,
    /// `increase`
    Increase,
    /// `delta`
    Delta,
    /// `irate`
    Irate,
    /// `idelta`
    Idelta,
    /// `deriv`
    Deriv,
    /// `predict_linear`
    PredictLinear,
    /// `changes`
    Changes,
    /// `resets`
    Resets,
    /// `avg_over_time`
    AvgOverTime,
    /// `min_over_time`
    MinOverTime,
    /// `max_over_time`
    MaxOverTime,
    /// `sum_over_time`
    SumOverTime,
    /// `count_over_time`
    CountOverTime,
    /// `first_over_time`
    FirstOverTime,
    /// `last_over_time`
    LastOverTime,
    /// `present_over_time`
    PresentOverTime,
    /// `stddev_over_time`
    StddevOverTime,
    /// `stdvar_over_time`
    StdvarOverTime,
    /// `quantile_over_time`
    QuantileOverTime,
    /// `mad_over_time`
    MadOverTime,
    /// `ts_of_first_over_time`
    TsOfFirstOverTime,
    /// `ts_of_last_over_time`
    TsOfLastOverTime,
    /// `ts_of_max_over_time`
    TsOfMaxOverTime,
    /// `ts_of_min_over_time`
    TsOfMinOverTime,
    /// `double_exponential_smoothing`
    DoubleExponentialSmoothing,
}

impl RangeFunction {
    /// Every function with the name it is called by, sorted by name.
    const NAMES: [(RangeFunction, &'static str); 26] = [
        (RangeFunction::AvgOverTime, "avg_over_time"),
        (RangeFunction::Changes, "changes"),
        (RangeFunction::CountOverTime, "count_over_time"),
        (RangeFunction::Delta, "delta"),
        (RangeFunction::Deriv, "deriv"),
        (
            RangeFunction::DoubleExponentialSmoothing,
            "double_exponential_smoothing",
        ),
        (RangeFunction::FirstOverTime, "first_over_time"),
        (RangeFunction::Idelta, "idelta"),
        (RangeFunction::Increase, "increase"),
        (RangeFunction::Irate, "irate"),
        (RangeFunction::LastOverTime, "last_over_time"),
        (RangeFunction::MadOverTime, "mad_over_time"),
        (RangeFunction::MaxOverTime, "max_over_time"),
        (RangeFunction::MinOverTime, "min_over_time"),
        (RangeFunction::PredictLinear, "predict_linear"),
        (RangeFunction::PresentOverTime, "present_over_time"),
        (RangeFunction::QuantileOverTime, "quantile_over_time"),
        (RangeFunction::Rate, "rate"),
        (RangeFunction::Resets, "resets"),
        (RangeFunction::StddevOverTime, "stddev_over_time"),
        (RangeFunction::StdvarOverTime, "stdvar_over_time"),
        (RangeFunction::SumOverTime, "sum_over_time"),
        (RangeFunction::TsOfFirstOverTime, "ts_of_first_over_time"),
        (RangeFunction::TsOfLastOverTime, "ts_of_last_over_time"),
        (RangeFunction::TsOfMaxOverTime, "ts_of_max_over_time"),
        (RangeFunction::TsOfMinOverTime, "ts_of_min_over_time"),
    ];

    /// The function of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        let found = Self::NAMES.binary_search_by(|(_, n)| (*n).cmp(name)).ok()?;
        Some(Self::NAMES[found].0)
    }

    /// The name it is called by.
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(f, _)| *f == self).map_or("", |(_, n)| n)
    }

    /// Whether the result keeps the metric name: it is one of the samples, not something made of them (prometheus
    /// promql/engine.go, `eval`: `last_over_time` and `first_over_time`).
    pub fn keeps_name(self) -> bool {
        matches!(self, RangeFunction::FirstOverTime | RangeFunction::LastOverTime)
    }
}

/// A number that a native histogram tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HistogramFunction {
    /// `histogram_avg`
    Avg,
    /// `histogram_count`
    Count,
    /// `histogram_stddev`
    Stddev,
    /// `histogram_stdvar`
    Stdvar,
    /// `histogram_sum`
    Sum,
}

impl HistogramFunction {
    /// Every function with the name it is called by.
    const NAMES: [(HistogramFunction, &'static str); 5] = [
        (HistogramFunction::Avg, "histogram_avg"),
        (HistogramFunction::Count, "histogram_count"),
        (HistogramFunction::Stddev, "histogram_stddev"),
        (HistogramFunction::Stdvar, "histogram_stdvar"),
        (HistogramFunction::Sum, "histogram_sum"),
    ];

    /// The function of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, n)| *n == name).map(|(f, _)| *f)
    }

    /// The name it is called by.
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(f, _)| *f == self).map_or("", |(_, n)| n)
    }

    /// Whether it reads the count and the sum only, so that buckets need not be kept for it.
    pub fn reads_counts_only(self) -> bool {
        !matches!(self, HistogramFunction::Stddev | HistogramFunction::Stdvar)
    }

    /// Its value.
    pub fn of(self, histogram: &Histogram) -> f64 {
        match self {
            HistogramFunction::Avg => summary::average(histogram),
            HistogramFunction::Count => histogram.count,
            HistogramFunction::Stddev => summary::variance(histogram).sqrt(),
            HistogramFunction::Stdvar => summary::variance(histogram),
            HistogramFunction::Sum => histogram.sum,
        }
    }
}

/// A function of each element of a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum InstantFunction {
    /// `abs`
    Abs,
    /// `ceil`
    Ceil,
    /// `floor`
    Floor,
    /// `exp`
    Exp,
    /// `ln`
    Ln,
    /// `log2`
    Log2,
    /// `log10`
    Log10,
    /// `sqrt`
    Sqrt,
    /// `sgn`
    Sgn,
    /// `sin`
    Sin,
    /// `cos`
    Cos,
    /// `tan`
    Tan,
    /// `asin`
    Asin,
    /// `acos`
    Acos,
    /// `atan`
    Atan,
    /// `sinh`
    Sinh,
    /// `cosh`
    Cosh,
    /// `tanh`
    Tanh,
    /// `asinh`
    Asinh,
    /// `acosh`
    Acosh,
    /// `atanh`
    Atanh,
    /// `rad`
    Rad,
    /// `deg`
    Deg,
    /// `round`
    Round,
    /// `clamp`
    Clamp,
    /// `clamp_min`
    ClampMin,
    /// `clamp_max`
    ClampMax,
    /// `timestamp`
    Timestamp,
    /// `start_timestamp`
    StartTimestamp,
    /// `days_in_month`
    DaysInMonth,
    /// `day_of_month`
    DayOfMonth,
    /// `day_of_week`
    DayOfWeek,
    /// `day_of_year`
    DayOfYear,
    /// `hour`
    Hour,
    /// `minute`
    Minute,
    /// `month`
    Month,
    /// `year`
    Year,
}

impl InstantFunction {
    /// Every function with the name it is called by, sorted by name.
    const NAMES: [(InstantFunction, &'static str); 37] = [
        (InstantFunction::Abs, "abs"),
        (InstantFunction::Acos, "acos"),
        (InstantFunction::Acosh, "acosh"),
        (InstantFunction::Asin, "asin"),
        (InstantFunction::Asinh, "asinh"),
        (InstantFunction::Atan, "atan"),
        (InstantFunction::Atanh, "atanh"),
        (InstantFunction::Ceil, "ceil"),
        (InstantFunction::Clamp, "clamp"),
        (InstantFunction::ClampMax, "clamp_max"),
        (InstantFunction::ClampMin, "clamp_min"),
        (InstantFunction::Cos, "cos"),
        (InstantFunction::Cosh, "cosh"),
        (InstantFunction::DayOfMonth, "day_of_month"),
        (InstantFunction::DayOfWeek, "day_of_week"),
        (InstantFunction::DayOfYear, "day_of_year"),
        (InstantFunction::DaysInMonth, "days_in_month"),
        (InstantFunction::Deg, "deg"),
        (InstantFunction::Exp, "exp"),
        (InstantFunction::Floor, "floor"),
        (InstantFunction::Hour, "hour"),
        (InstantFunction::Ln, "ln"),
        (InstantFunction::Log10, "log10"),
        (InstantFunction::Log2, "log2"),
        (InstantFunction::Minute, "minute"),
        (InstantFunction::Month, "month"),
        (InstantFunction::Rad, "rad"),
        (InstantFunction::Round, "round"),
        (InstantFunction::Sgn, "sgn"),
        (InstantFunction::Sin, "sin"),
        (InstantFunction::Sinh, "sinh"),
        (InstantFunction::Sqrt, "sqrt"),
        (InstantFunction::StartTimestamp, "start_timestamp"),
        (InstantFunction::Tan, "tan"),
        (InstantFunction::Tanh, "tanh"),
        (InstantFunction::Timestamp, "timestamp"),
        (InstantFunction::Year, "year"),
    ];

    /// The function of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        let found = Self::NAMES.binary_search_by(|(_, n)| (*n).cmp(name)).ok()?;
        Some(Self::NAMES[found].0)
    }

    /// The name it is called by.
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(f, _)| *f == self).map_or("", |(_, n)| n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_is_found_by_its_name() {
        for (function, name) in RangeFunction::NAMES {
            assert_eq!(RangeFunction::from_name(name), Some(function));
            assert_eq!(function.as_str(), name);
        }
        for (function, name) in InstantFunction::NAMES {
            assert_eq!(InstantFunction::from_name(name), Some(function));
            assert_eq!(function.as_str(), name);
        }
        assert_eq!(RangeFunction::from_name("nope"), None);
    }
}
