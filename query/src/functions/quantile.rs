//! Quantiles of plain values.

/// The φ-quantile of `values`, which are sorted in place, NaN first (prometheus promql/quantile.go, `quantile`). NaN of
/// nothing or of φ NaN; −Inf below 0, +Inf above 1.
pub fn quantile(phi: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || phi.is_nan() {
        return f64::NAN;
    }
    if phi < 0.0 {
        return f64::NEG_INFINITY;
    }
    if phi > 1.0 {
        return f64::INFINITY;
    }
    sort_nan_first(values);
    let last = values.len() - 1;
    let rank = phi * last as f64;
    let lower = (rank.floor() as usize).min(last);
    let upper = (lower + 1).min(last);
    let weight = rank - rank.floor();
    values[lower] * (1.0 - weight) + values[upper] * weight
}

fn sort_nan_first(values: &mut [f64]) {
    values.sort_unstable_by(|a, b| match (a.is_nan(), b.is_nan()) {
        (false, false) => a.total_cmp(b),
        (a_nan, b_nan) => b_nan.cmp(&a_nan),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate_between_neighbours() {
        let check = |phi: f64, values: &[f64], expected: f64| {
            let got = quantile(phi, &mut values.to_vec());
            assert!(
                got == expected || (got.is_nan() && expected.is_nan()),
                "φ {phi} of {values:?}: {got}"
            );
        };
        check(0.5, &[3.0, 1.0, 2.0], 2.0);
        check(0.5, &[1.0, 2.0], 1.5);
        check(1.0, &[1.0, 2.0], 2.0);
        check(-0.1, &[1.0], f64::NEG_INFINITY);
        check(1.1, &[1.0], f64::INFINITY);
        check(f64::NAN, &[1.0], f64::NAN);
        check(0.0, &[1.0, f64::NAN], f64::NAN);
        check(1.0, &[1.0, f64::NAN], 1.0);
        check(0.5, &[], f64::NAN);
    }
}
