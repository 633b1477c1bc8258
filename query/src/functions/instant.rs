//! Functions of single values: math, clamps, rounding, dates (prometheus promql/functions.go).

use std::f64::consts::PI;

use super::date::date_part;
use super::name::InstantFunction;

/// The value of `function`; `arg` gives its scalar arguments. Nothing where the function drops the element.
pub fn apply(function: InstantFunction, value: f64, arg: impl Fn(usize) -> Option<f64>) -> Option<f64> {
    use InstantFunction as F;
    let number = |index: usize| arg(index).unwrap_or(f64::NAN);
    Some(match function {
        F::Abs => value.abs(),
        F::Ceil => value.ceil(),
        F::Floor => value.floor(),
        F::Exp => value.exp(),
        F::Ln => value.ln(),
        F::Log2 => value.log2(),
        F::Log10 => value.log10(),
        F::Sqrt => value.sqrt(),
        F::Sgn if value > 0.0 => 1.0,
        F::Sgn if value < 0.0 => -1.0,
        F::Sgn => value,
        F::Sin => value.sin(),
        F::Cos => value.cos(),
        F::Tan => value.tan(),
        F::Asin => value.asin(),
        F::Acos => value.acos(),
        F::Atan => value.atan(),
        F::Sinh => value.sinh(),
        F::Cosh => value.cosh(),
        F::Tanh => value.tanh(),
        F::Asinh => value.asinh(),
        F::Acosh => value.acosh(),
        F::Atanh => value.atanh(),
        F::Rad => value * PI / 180.0,
        F::Deg => value * 180.0 / PI,
        F::Round => {
            // The inverse has fewer rounding problems; ties go up.
            let inverse = 1.0 / arg(0).unwrap_or(1.0);
            (value * inverse + 0.5).floor() / inverse
        }
        F::Clamp if number(1) < number(0) => return None,
        F::Clamp => greater(number(0), lesser(number(1), value)),
        F::ClampMin => greater(number(0), value),
        F::ClampMax => lesser(number(0), value),
        F::Timestamp | F::StartTimestamp => value,
        F::DaysInMonth | F::DayOfMonth | F::DayOfWeek | F::DayOfYear | F::Hour | F::Minute | F::Month | F::Year => {
            return date_part(function, value);
        }
    })
}

/// Go's `math.Max`: NaN wins over everything but +Inf, and 0 is greater than -0.
fn greater(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == b {
        if a.is_sign_negative() { b } else { a }
    } else {
        a.max(b)
    }
}

/// Go's `math.Min`: NaN wins over everything but -Inf.
fn lesser(a: f64, b: f64) -> f64 {
    -greater(-a, -b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_functions() {
        use InstantFunction as F;
        let check = |function: F, value: f64, args: &[f64], expected: Option<f64>| {
            let got = apply(function, value, |i| args.get(i).copied());
            let same = got == expected || matches!((got, expected), (Some(a), Some(b)) if a.is_nan() && b.is_nan());
            assert!(same, "{}({value}, {args:?}): {got:?}", function.as_str());
        };
        check(F::Round, 2.5, &[], Some(3.0));
        check(F::Round, -2.5, &[], Some(-2.0));
        check(F::Round, 17.0, &[5.0], Some(15.0));
        check(F::Clamp, 5.0, &[1.0, 3.0], Some(3.0));
        check(F::Clamp, 5.0, &[3.0, 1.0], None);
        for (value, bound) in [(-0.0, 0.0), (0.0, -0.0)] {
            let [least, greatest] = [F::ClampMax, F::ClampMin].map(|f| apply(f, value, |_| Some(bound)));
            assert!(least.is_some_and(f64::is_sign_negative) && greatest.is_some_and(f64::is_sign_positive));
        }
        check(F::ClampMin, f64::NAN, &[1.0], Some(f64::NAN));
        check(F::Sgn, -0.5, &[], Some(-1.0));
        check(F::Sgn, f64::NAN, &[], Some(f64::NAN));
        check(F::Deg, PI, &[], Some(180.0));
        check(F::Hour, 7200.0, &[], Some(2.0));
    }
}
