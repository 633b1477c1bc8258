//! Arithmetic and comparison of two numbers (prometheus promql/engine.go, `scalarBinop` and `vectorElemBinop`).

use crate::plan::BinaryOp;

/// The value of two scalars; a comparison gives 0 or 1.
pub fn scalar_op(op: BinaryOp, left: f64, right: f64) -> f64 {
    if op.is_comparison() {
        f64::from(u8::from(compare(op, left, right)))
    } else {
        arithmetic(op, left, right)
    }
}

/// Whether a comparison holds; false for arithmetic.
#[inline]
pub fn compare(op: BinaryOp, left: f64, right: f64) -> bool {
    match op {
        BinaryOp::Eq => left == right,
        BinaryOp::Ne => left != right,
        BinaryOp::Gt => left > right,
        BinaryOp::Lt => left < right,
        BinaryOp::Ge => left >= right,
        BinaryOp::Le => left <= right,
        _ => false,
    }
}

/// The value of an arithmetic operator; of a comparison, the left side.
#[inline]
pub fn arithmetic(op: BinaryOp, left: f64, right: f64) -> f64 {
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Sub => left - right,
        BinaryOp::Mul => left * right,
        BinaryOp::DivOrNan | BinaryOp::ModOrNan if right == 0.0 => f64::NAN,
        BinaryOp::Div | BinaryOp::DivOrNan => left / right,
        BinaryOp::Mod | BinaryOp::ModOrNan => left % right,
        BinaryOp::Pow => left.powf(right),
        BinaryOp::Atan2 => left.atan2(right),
        BinaryOp::Max => go_max(left, right),
        BinaryOp::Min => -go_max(-left, -right),
        _ => left,
    }
}

/// Go's `math.Max`: positive infinity wins over NaN, NaN over the rest.
pub fn go_max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

/// What two elements give: a comparison without `bool` filters and keeps the left value.
#[inline]
pub fn element_op(op: BinaryOp, return_bool: bool, left: f64, right: f64) -> Option<f64> {
    if !op.is_comparison() {
        return Some(arithmetic(op, left, right));
    }
    let holds = compare(op, left, right);
    if return_bool {
        Some(f64::from(u8::from(holds)))
    } else {
        holds.then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_filter_or_give_numbers() {
        let check = |op, return_bool, left, right, expected| {
            assert_eq!(
                element_op(op, return_bool, left, right),
                expected,
                "{left} {} {right}",
                op.as_str()
            );
        };
        check(BinaryOp::Gt, false, 2.0, 1.0, Some(2.0));
        check(BinaryOp::Gt, false, 1.0, 2.0, None);
        check(BinaryOp::Gt, true, 1.0, 2.0, Some(0.0));
        check(BinaryOp::Mod, false, -5.0, 3.0, Some(-2.0));
        check(BinaryOp::Pow, false, -1.0, f64::INFINITY, Some(1.0));
        check(BinaryOp::Div, false, 1.0, 0.0, Some(f64::INFINITY));
        assert_eq!(scalar_op(BinaryOp::Ne, f64::NAN, f64::NAN), 1.0);
        assert_eq!(scalar_op(BinaryOp::Max, f64::NAN, f64::INFINITY), f64::INFINITY);
        assert!(scalar_op(BinaryOp::Max, f64::NAN, 3.0).is_nan());
        assert_eq!(scalar_op(BinaryOp::Min, -2.0, -5.0), -5.0);
        assert!(scalar_op(BinaryOp::Min, 1.0, f64::NAN).is_nan());
    }
}
