//! Decimal numbers of any length, with which sprig's `addf`, `subf`, `mulf` and `divf` compute (github.com/shopspring/decimal).

use num_bigint::{BigInt, Sign};

/// Digits behind the point of a quotient.
const DIVISION_PRECISION: i64 = 16;

/// `value * 10^exponent`
#[derive(Clone, Debug)]
pub struct Decimal {
    value: BigInt,
    exponent: i64,
}

impl Decimal {
    /// The shortest decimal that a float stands for; `None` for what is no number.
    pub fn of(float: f64) -> Option<Self> {
        if !float.is_finite() {
            return None;
        }
        let text = format!("{float:e}");
        let (digits, exponent) = text.split_once('e')?;
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        Some(Decimal {
            value: format!("{whole}{fraction}").parse().ok()?,
            exponent: exponent.parse::<i64>().ok()? - i64::try_from(fraction.len()).ok()?,
        })
    }

    /// The nearest float.
    pub fn to_float(&self) -> f64 {
        format!("{}e{}", self.value, self.exponent).parse().unwrap_or(f64::NAN)
    }

    /// `self + other`
    pub fn plus(&self, other: &Decimal) -> Decimal {
        let exponent = self.exponent.min(other.exponent);
        Decimal {
            value: self.scaled_to(exponent) + other.scaled_to(exponent),
            exponent,
        }
    }

    /// `self - other`
    pub fn minus(&self, other: &Decimal) -> Decimal {
        self.plus(&Decimal {
            value: -other.value.clone(),
            exponent: other.exponent,
        })
    }

    /// `self * other`
    pub fn times(&self, other: &Decimal) -> Decimal {
        Decimal {
            value: &self.value * &other.value,
            exponent: self.exponent + other.exponent,
        }
    }

    /// `self / other`, rounded half away from zero; `None` where that is zero.
    pub fn divided_by(&self, other: &Decimal) -> Option<Decimal> {
        if other.value.sign() == Sign::NoSign {
            return None;
        }
        let shift = self.exponent - other.exponent + DIVISION_PRECISION;
        let (dividend, divisor) = match shift {
            shift if shift < 0 => (self.value.clone(), &other.value * power_of_ten(-shift)),
            shift => (&self.value * power_of_ten(shift), other.value.clone()),
        };
        let (mut quotient, rest) = (&dividend / &divisor, &dividend % &divisor);
        if (rest * 2u8).magnitude() >= divisor.magnitude() {
            match self.value.sign() == other.value.sign() {
                true => quotient += 1,
                false => quotient -= 1,
            }
        }
        Some(Decimal {
            value: quotient,
            exponent: -DIVISION_PRECISION,
        })
    }

    fn scaled_to(&self, exponent: i64) -> BigInt {
        &self.value * power_of_ten(self.exponent - exponent)
    }
}

/// Exponents come of floats, so that they stay in the hundreds for each operand.
fn power_of_ten(exponent: i64) -> BigInt {
    BigInt::from(10).pow(u32::try_from(exponent).unwrap_or(0))
}

#[cfg(test)]
#[allow(clippy::approx_constant, clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn results_are_decimal() {
        let d = |f: f64| Decimal::of(f).unwrap();
        for (result, expected) in [
            (d(0.1).plus(&d(0.2)), 0.3),
            (d(1e20).plus(&d(1.0)), 1e20),
            (d(3.141592653589793).times(&d(2.0)), 6.283185307179586),
            (d(1.0).minus(&d(0.9)), 0.1),
            (d(10.0).divided_by(&d(3.0)).unwrap(), 3.3333333333333335),
            (d(1e-10).divided_by(&d(3.0)).unwrap(), 3.33333e-11),
            (d(-2.0).divided_by(&d(3.0)).unwrap(), -0.6666666666666667),
            (d(0.0).divided_by(&d(3.0)).unwrap(), 0.0),
        ] {
            assert_eq!(result.to_float(), expected);
        }
        assert!(d(1.0).divided_by(&d(0.0)).is_none());
        assert!(Decimal::of(f64::NAN).is_none());
    }
}
