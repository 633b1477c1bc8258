//! The arithmetic of native histograms, case by case and by properties.
#![allow(clippy::unwrap_used, clippy::result_large_err, reason = "tests")]

use std::sync::Arc;

use garner_storage::model::{BucketSpan, CUSTOM_BUCKETS_SCHEMA, CounterReset, Histogram};
use proptest::prelude::*;

use super::add::{Incompatible, add, sub};
use super::layout::compact;
use super::mixed::MixedBuffer;
use super::reset::was_reset;
use super::scale::{div, mul};
use super::summary::{NanEffect, fraction, quantile, variance};
use super::text::text;
use super::total::Total;
use super::trim::{Keep, trim};
use crate::functions::RangeFunction;
use crate::functions::annotate::Notes;
use crate::functions::range::RangeKernel;
use crate::functions::window::Windows;
use crate::plan::Steps;
use crate::vector::RowBuffer;

const SECOND: i64 = 1_000_000_000;
const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

/// Positive buckets of schema 0 from index `first` on, with as many observations as they hold.
fn exponential(first: i32, counts: &[f64]) -> Histogram {
    let count = counts.iter().sum();
    Histogram {
        count,
        sum: count,
        positive_spans: vec![BucketSpan {
            offset: first,
            length: counts.len() as u32,
        }],
        positive_buckets: counts.to_vec(),
        ..Histogram::default()
    }
}

fn custom(bounds: &[f64], counts: &[f64]) -> Histogram {
    Histogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        custom_values: bounds.to_vec(),
        ..exponential(0, counts)
    }
}

fn zero(histogram: Histogram, threshold: f64, count: f64) -> Histogram {
    Histogram {
        zero_threshold: threshold,
        zero_count: count,
        count: histogram.count + count,
        ..histogram
    }
}

fn hinted(histogram: Histogram, counter_reset: CounterReset) -> Histogram {
    Histogram {
        counter_reset,
        ..histogram
    }
}

fn negative(histogram: Histogram) -> Histogram {
    Histogram {
        sum: -histogram.sum,
        negative_spans: histogram.positive_spans.clone(),
        negative_buckets: histogram.positive_buckets.clone(),
        positive_spans: Vec::new(),
        positive_buckets: Vec::new(),
        ..histogram
    }
}

fn same(got: f64, expected: f64) -> bool {
    got == expected || (got - expected).abs() <= 1e-9 * expected.abs().max(1.0) || (got.is_nan() && expected.is_nan())
}

#[test]
fn sums_settle_what_differs() {
    let check = |a: &Histogram, b: &Histogram, expected: &str| {
        for (first, second) in [(a, b), (b, a)] {
            let mut out = first.clone();
            add(&mut out, second).unwrap();
            compact(&mut out);
            assert_eq!(text(&out), expected);
            let mut back = out;
            sub(&mut back, second).unwrap();
            assert!(same(back.count, first.count) && same(back.sum, first.sum));
        }
    };
    let fine = Histogram {
        schema: 1,
        ..exponential(1, &[1.0, 2.0, 4.0])
    };
    check(
        &exponential(0, &[1.0, 2.0]),
        &exponential(0, &[3.0, 4.0]),
        "{count:10, sum:10, (0.5,1]:4, (1,2]:6}",
    );
    check(
        &exponential(-1, &[1.0]),
        &exponential(2, &[3.0]),
        "{count:4, sum:4, (0.25,0.5]:1, (2,4]:3}",
    );
    check(&exponential(1, &[1.0]), &fine, "{count:8, sum:8, (1,2]:4, (2,4]:4}");
    // The wider zero bucket takes what lies inside; one that would cut a populated bucket grows to its end.
    check(
        &zero(exponential(0, &[1.0, 2.0]), 0.001, 5.0),
        &zero(exponential(1, &[4.0]), 1.0, 7.0),
        "{count:19, sum:7, [-1,1]:13, (1,2]:6}",
    );
    check(
        &zero(exponential(0, &[1.0, 2.0]), 0.001, 5.0),
        &zero(negative(exponential(2, &[4.0])), 0.7, 7.0),
        "{count:19, sum:-1, [-4,-2):4, [-1,1]:13, (1,2]:2}",
    );
    check(
        &custom(&[1.0, 2.0, 4.0], &[1.0, 2.0, 3.0, 4.0]),
        &custom(&[2.0, 3.0, 4.0], &[5.0, 6.0, 7.0, 8.0]),
        "{count:36, sum:36, [-Inf,2]:8, (2,4]:16, (4,+Inf]:12}",
    );
    let mut exponential = exponential(0, &[1.0]);
    assert_eq!(add(&mut exponential, &custom(&[1.0], &[1.0])), Err(Incompatible));
}

#[test]
fn hints_of_a_sum_are_those_of_both() {
    use CounterReset as R;
    let check = |a, b, expected, collides| {
        let mut out = hinted(exponential(0, &[1.0]), a);
        let settled = add(&mut out, &hinted(exponential(0, &[1.0]), b)).unwrap();
        assert_eq!(
            (out.counter_reset, settled.reset_collision),
            (expected, collides),
            "{a:?} {b:?}"
        );
    };
    check(R::NotReset, R::NotReset, R::NotReset, false);
    check(R::Reset, R::Gauge, R::Gauge, false);
    check(R::NotReset, R::Unknown, R::Unknown, false);
    check(R::Reset, R::NotReset, R::Unknown, true);
}

#[test]
fn a_threshold_that_is_no_number_ends_too() {
    let mut out = zero(exponential(0, &[1.0]), NAN, 1.0);
    add(&mut out, &zero(exponential(0, &[1.0]), 0.5, 1.0)).unwrap();
    assert_eq!(out.count, 4.0);
    assert!(was_reset(&out, &zero(exponential(0, &[1.0]), 0.5, 1.0)));
}

#[test]
fn totals_lose_nothing_to_rounding_and_do_not_overflow() {
    let total = |counts: &[f64]| {
        let mut total = Total::of(exponential(0, &counts[..1]));
        counts[1..]
            .iter()
            .for_each(|c| total.add_to_sum(&exponential(0, &[*c])).unwrap());
        total.into_sum()
    };
    let sum = total(&[1e100, 1.0, -1e100]);
    assert_eq!((sum.count, sum.sum, &sum.positive_buckets[..]), (1.0, 1.0, &[1.0][..]));
    let mut mean = Total::of(exponential(0, &[1.5e308]));
    for _ in 0..3 {
        mean.add_to_mean(&exponential(0, &[1.5e308])).unwrap();
    }
    assert!(mean.incremental);
    assert!(same(mean.into_mean().positive_buckets[0] / 1.5e308, 1.0));
}

#[test]
fn resets_are_told_by_hints_or_seen() {
    let check = |now: &Histogram, before: &Histogram, expected| {
        assert_eq!(was_reset(now, before), expected, "{} after {}", text(now), text(before));
    };
    let three = exponential(0, &[1.0, 2.0]);
    check(&three, &three, false);
    check(&exponential(0, &[2.0, 1.0]), &three, true);
    check(&exponential(0, &[1.0, 1.0]), &three, true);
    check(&exponential(1, &[9.0]), &three, true);
    check(&exponential(1, &[9.0]), &exponential(0, &[0.0, 2.0]), false);
    check(&hinted(exponential(0, &[1.0]), CounterReset::NotReset), &three, false);
    check(&hinted(exponential(0, &[9.0, 9.0]), CounterReset::Reset), &three, true);
    check(&zero(three.clone(), 0.1, 5.0), &zero(three.clone(), 0.2, 1.0), true);
    check(&zero(three.clone(), 0.2, 5.0), &zero(three.clone(), 0.1, 1.0), false);
    // Half of a bucket cannot have moved into the zero bucket.
    check(&zero(three.clone(), 0.7, 5.0), &zero(three.clone(), 0.1, 1.0), true);
    let finer = Histogram {
        schema: 1,
        ..three.clone()
    };
    check(&finer, &three, true);
    check(
        &exponential(0, &[3.0, 2.0]),
        &Histogram {
            schema: 1,
            ..exponential(0, &[2.0, 1.0])
        },
        false,
    );
    check(
        &custom(&[1.0, 2.0], &[2.0, 2.0, 2.0]),
        &custom(&[1.0, 3.0], &[2.0, 2.0, 2.0]),
        false,
    );
    check(
        &custom(&[1.0, 2.0], &[1.0, 9.0, 2.0]),
        &custom(&[1.0, 3.0], &[2.0, 2.0, 2.0]),
        true,
    );
    check(&custom(&[1.0], &[9.0]), &three, true);
}

#[test]
fn quantiles_are_interpolated_inside_their_bucket() {
    let check = |phi: f64, histogram: &Histogram, expected: f64| {
        let got = quantile(phi, histogram).0;
        assert!(
            same(got, expected),
            "φ {phi} of {}: {got}, not {expected}",
            text(histogram)
        );
    };
    let positive = exponential(1, &[2.0, 2.0]);
    check(0.25, &positive, 2f64.sqrt());
    check(0.5, &positive, 2.0);
    check(0.75, &positive, 2.0 * 2f64.sqrt());
    check(1.0, &positive, 4.0);
    check(-0.1, &positive, -INF);
    check(1.1, &positive, INF);
    check(NAN, &positive, NAN);
    check(0.5, &Histogram::default(), NAN);
    check(0.25, &negative(positive.clone()), -2.0 * 2f64.sqrt());
    // A zero bucket beside positive buckets only starts at 0.
    check(0.25, &zero(exponential(1, &[2.0]), 0.5, 2.0), 0.25);
    check(0.5, &zero(Histogram::default(), 0.5, 2.0), 0.0);
    let listed = custom(&[5.0, 10.0], &[2.0, 2.0, 4.0]);
    check(0.125, &listed, 2.5);
    check(0.375, &listed, 7.5);
    check(0.9, &listed, 10.0);
    let with_nan = Histogram {
        sum: NAN,
        count: 8.0,
        ..exponential(1, &[4.0])
    };
    assert_eq!(quantile(0.25, &with_nan).1, Some(NanEffect::SkewedHigher));
    let (value, effect) = quantile(0.75, &with_nan);
    assert!(value.is_nan() && effect == Some(NanEffect::ResultIsNan));
}

#[test]
fn fractions_are_the_inverse_of_quantiles() {
    let check = |lower: f64, upper: f64, histogram: &Histogram, expected: f64| {
        let got = fraction(lower, upper, histogram).0;
        assert!(
            same(got, expected),
            "{lower}..{upper} of {}: {got}, not {expected}",
            text(histogram)
        );
    };
    let positive = exponential(1, &[2.0, 2.0]);
    check(-INF, 2f64.sqrt(), &positive, 0.25);
    check(1.0, 4.0, &positive, 1.0);
    check(3.0, 2.0, &positive, 0.0);
    check(NAN, 2.0, &positive, NAN);
    check(0.0, 1.0, &Histogram::default(), NAN);
    check(-2.0 * 2f64.sqrt(), INF, &negative(positive), 0.75);
    check(0.0, 0.25, &zero(exponential(1, &[2.0]), 0.5, 2.0), 0.25);
    check(2.5, 7.5, &custom(&[5.0, 10.0], &[2.0, 2.0, 4.0]), 0.25);
    let with_nan = Histogram {
        sum: NAN,
        count: 8.0,
        ..exponential(1, &[4.0])
    };
    assert_eq!(fraction(-INF, INF, &with_nan), (0.5, true));
}

#[test]
fn deviations_take_the_middle_of_each_bucket() {
    let histogram = Histogram {
        sum: 8.0 * 2f64.sqrt(),
        ..exponential(1, &[8.0])
    };
    assert!(same(variance(&histogram), 0.0));
    assert!(same(
        variance(&Histogram {
            sum: 30.0,
            ..custom(&[5.0, 10.0], &[0.0, 2.0])
        }),
        56.25
    ));
}

#[test]
fn scaling_touches_every_number() {
    let mut out = zero(exponential(0, &[1.0, 2.0]), 0.1, 3.0);
    mul(&mut out, -2.0);
    assert_eq!(text(&out), "{count:-12, sum:-6, [-0.1,0.1]:-6, (0.5,1]:-2, (1,2]:-4}");
    assert_eq!(out.counter_reset, CounterReset::Gauge);
    div(&mut out, -2.0);
    assert_eq!(text(&out), "{count:6, sum:3, [-0.1,0.1]:3, (0.5,1]:1, (1,2]:2}");
    div(&mut out, 0.0);
    assert_eq!((out.count, out.positive_buckets.len()), (INF, 0));
}

#[test]
fn trimming_cuts_at_a_value() {
    let check = |histogram: &Histogram, at: f64, below: &str, above: &str| {
        for (keep, expected) in [(Keep::Below, below), (Keep::Above, above)] {
            let mut out = histogram.clone();
            trim(&mut out, at, keep);
            let mut rounded = text(&out);
            rounded = rounded
                .replace("1.4142135623730951", "√2")
                .replace("2.8284271247461903", "2√2");
            assert_eq!(rounded, expected, "{keep:?} {at}");
        }
    };
    let positive = exponential(1, &[1.0, 1.0]);
    check(
        &positive,
        2.0,
        "{count:1, sum:√2, (1,2]:1}",
        "{count:1, sum:2√2, (2,4]:1}",
    );
    check(&positive, 8.0, &text(&positive), "{count:0, sum:0}");
    check(&positive, 0.5, "{count:0, sum:0}", &text(&positive));
    let listed = custom(&[4.0, 8.0], &[2.0, 2.0, 2.0]);
    check(
        &listed,
        6.0,
        "{count:3, sum:9, [-Inf,4]:2, (4,8]:1}",
        "{count:3, sum:23, (4,8]:1, (8,+Inf]:2}",
    );
    check(
        &listed,
        2.0,
        "{count:1, sum:1, [-Inf,4]:1}",
        "{count:5, sum:31, [-Inf,4]:1, (4,8]:2, (8,+Inf]:2}",
    );
    let zeros = zero(Histogram::default(), 1.0, 4.0);
    check(
        &zeros,
        0.5,
        "{count:3, sum:-0.75, [-1,1]:3}",
        "{count:1, sum:0.75, [-1,1]:1}",
    );
}

/// Evaluates `function` at 60 s over a window of 60 s; samples are 20 s apart, the last at 60 s.
fn window(function: RangeFunction, samples: &[Result<f64, Histogram>]) -> (String, Notes) {
    let mut buffer = MixedBuffer::default();
    for (i, sample) in samples.iter().enumerate() {
        let time = 60 * SECOND - 20 * SECOND * (samples.len() - 1 - i) as i64;
        match sample {
            Ok(value) => buffer.push_float(time, *value),
            Err(histogram) => buffer.push_histogram(time, Arc::new(histogram.clone())),
        }
    }
    let windows = Windows {
        steps: Steps::instant(60 * SECOND),
        width_ns: 60 * SECOND,
        offset_ns: 0,
        at_ns: None,
    };
    let mut out = RowBuffer::new(1);
    let notes = RangeKernel::new(function, windows, Vec::new())
        .eval_mixed(&buffer.samples(), &mut out)
        .unwrap();
    let histogram = out.histograms().first().and_then(Option::as_ref);
    let shown = match histogram {
        Some(histogram) => text(histogram),
        None if out.present()[0] => out.values()[0].to_string(),
        None => "nothing".to_string(),
    };
    (shown, notes)
}

fn noted(notes: &[Notes]) -> Notes {
    let mut all = Notes::default();
    notes.iter().for_each(|n| all.add(*n));
    all
}

#[test]
fn functions_of_windows_of_histograms() {
    use RangeFunction as F;
    let check = |function: F, samples: &[Histogram], expected: &str, notes: &[Notes]| {
        let samples: Vec<_> = samples.iter().cloned().map(Err).collect();
        let got = window(function, &samples);
        assert_eq!(got, (expected.to_string(), noted(notes)), "{}", function.as_str());
    };
    let ramp = [1.0, 2.0, 3.0].map(|c| exponential(0, &[c * 10.0]));
    // 20 in 40 s, extrapolated by 20 s to the left.
    check(F::Increase, &ramp, "{count:30, sum:30, (0.5,1]:30}", &[]);
    check(F::Rate, &ramp, "{count:0.5, sum:0.5, (0.5,1]:0.5}", &[]);
    check(F::Delta, &ramp, "{count:30, sum:30, (0.5,1]:30}", &[Notes::NOT_GAUGE]);
    check(F::Irate, &ramp, "{count:0.5, sum:0.5, (0.5,1]:0.5}", &[]);
    check(F::Idelta, &ramp, "{count:10, sum:10, (0.5,1]:10}", &[Notes::NOT_GAUGE]);
    check(F::SumOverTime, &ramp, "{count:60, sum:60, (0.5,1]:60}", &[]);
    check(F::AvgOverTime, &ramp, "{count:20, sum:20, (0.5,1]:20}", &[]);
    check(F::FirstOverTime, &ramp, "{count:10, sum:10, (0.5,1]:10}", &[]);
    check(F::LastOverTime, &ramp, "{count:30, sum:30, (0.5,1]:30}", &[]);
    check(F::CountOverTime, &ramp, "3", &[]);
    check(F::PresentOverTime, &ramp, "1", &[]);
    check(F::Changes, &ramp, "2", &[]);
    check(F::Resets, &ramp, "0", &[]);
    check(F::TsOfLastOverTime, &ramp, "60", &[]);
    check(F::MaxOverTime, &ramp, "nothing", &[]);
    check(F::Rate, &ramp[..1], "nothing", &[]);
    // After a reset all counts: 20 up, then 5; extrapolated by 16 s to where it was zero.
    let reset = [1.0, 3.0, 0.5].map(|c| exponential(0, &[c * 10.0]));
    check(F::Increase, &reset, "{count:35, sum:35, (0.5,1]:35}", &[]);
    check(F::Resets, &reset, "1", &[]);
    let gauges = ramp.clone().map(|h| hinted(h, CounterReset::Gauge));
    check(F::Delta, &gauges, "{count:30, sum:30, (0.5,1]:30}", &[]);
    check(
        F::Rate,
        &gauges,
        "{count:0.5, sum:0.5, (0.5,1]:0.5}",
        &[Notes::NOT_COUNTER],
    );
    let kinds = [exponential(0, &[1.0]), custom(&[1.0], &[2.0]), exponential(0, &[3.0])];
    check(F::SumOverTime, &kinds, "nothing", &[Notes::MIXED_BUCKETS]);
    check(F::Increase, &kinds, "nothing", &[Notes::MIXED_BUCKETS]);
    let bounds = [custom(&[1.0, 2.0], &[1.0, 1.0]), custom(&[2.0, 3.0], &[4.0, 2.0])];
    check(
        F::Increase,
        &bounds,
        "{count:6, sum:6, [-Inf,2]:3, (2,+Inf]:3}",
        &[Notes::RECONCILED_SUB],
    );
    check(
        F::SumOverTime,
        &bounds,
        "{count:8, sum:8, [-Inf,2]:6, (2,+Inf]:2}",
        &[Notes::RECONCILED_AGGREGATE],
    );
    let hints = [CounterReset::Reset, CounterReset::NotReset].map(|hint| hinted(exponential(0, &[1.0]), hint));
    check(
        F::AvgOverTime,
        &hints,
        "{count:1, sum:1, (0.5,1]:1}",
        &[Notes::COLLISION_AGGREGATE],
    );
}

#[test]
fn functions_of_windows_of_floats_and_histograms() {
    use RangeFunction as F;
    let check = |function: F, samples: &[Result<f64, Histogram>], expected: &str, notes: &[Notes]| {
        let got = window(function, samples);
        assert_eq!(got, (expected.to_string(), noted(notes)), "{}", function.as_str());
    };
    let h = |count: f64| Err(exponential(0, &[count]));
    let mixed = [Ok(1.0), h(2.0), Ok(3.0)];
    for function in [
        F::Rate,
        F::Increase,
        F::Delta,
        F::SumOverTime,
        F::AvgOverTime,
        F::Irate,
        F::Idelta,
    ] {
        check(function, &mixed, "nothing", &[Notes::MIXED_TYPES]);
    }
    check(F::MaxOverTime, &mixed, "3", &[Notes::IGNORED_IN_RANGE]);
    check(F::Deriv, &mixed[..2], "nothing", &[Notes::IGNORED_IN_RANGE]);
    check(F::CountOverTime, &mixed, "3", &[]);
    check(F::FirstOverTime, &mixed, "1", &[]);
    check(F::LastOverTime, &mixed[..2], "{count:2, sum:2, (0.5,1]:2}", &[]);
    check(F::TsOfFirstOverTime, &mixed[1..], "40", &[]);
    check(F::Changes, &mixed, "2", &[]);
    check(F::Resets, &[h(2.0), h(1.0), Ok(3.0)], "2", &[]);
    check(F::Resets, &[h(1.0), Ok(3.0), Ok(2.0)], "2", &[]);
    check(F::Irate, &[h(1.0), Ok(1.0), Ok(3.0)], "0.1", &[]);
    check(
        F::Idelta,
        &[Ok(1.0), h(1.0), h(3.0)],
        "{count:2, sum:2, (0.5,1]:2}",
        &[Notes::NOT_GAUGE],
    );
}

fn any_histogram() -> impl Strategy<Value = Histogram> {
    let side = (
        -6i32..6,
        prop::collection::vec(0u8..4, 0..6),
        0i32..3,
        prop::collection::vec(0u8..4, 0..4),
    );
    let threshold = prop_oneof![Just(0.0), Just(0.001), Just(0.5), Just(0.7), Just(2.0)];
    (-1i32..3, threshold, 0u8..5, side.clone(), side).prop_map(|(schema, zero_threshold, zeros, up, down)| {
        let side = |(first, a, gap, b): (i32, Vec<u8>, i32, Vec<u8>)| {
            let spans = vec![
                BucketSpan {
                    offset: first,
                    length: a.len() as u32,
                },
                BucketSpan {
                    offset: gap,
                    length: b.len() as u32,
                },
            ];
            let counts: Vec<f64> = a.into_iter().chain(b).map(f64::from).collect();
            (spans, counts)
        };
        let (positive_spans, positive_buckets) = side(up);
        let (negative_spans, negative_buckets) = side(down);
        let zero_count = f64::from(zeros);
        let mut out = Histogram {
            schema,
            zero_threshold,
            zero_count,
            positive_spans,
            negative_spans,
            positive_buckets,
            negative_buckets,
            ..Histogram::default()
        };
        out.count = all(&out);
        out.sum = out.count;
        out
    })
}

/// Observations in all buckets.
fn all(histogram: &Histogram) -> f64 {
    let sides = histogram.positive_buckets.iter().chain(&histogram.negative_buckets);
    histogram.zero_count + sides.sum::<f64>()
}

/// The histogram without buckets inside its zero bucket: one of those does not hold together, since they are not added.
fn whole(histogram: &Histogram) -> Histogram {
    let wide = Histogram {
        zero_threshold: 4.0,
        ..Histogram::default()
    };
    let mut out = histogram.clone();
    super::zero::reconcile(&mut out, None, &wide);
    out
}

proptest! {
    #[test]
    fn a_sum_holds_the_observations_of_both(a in any_histogram(), b in any_histogram()) {
        for (a, b) in [(a.clone(), whole(&b)), (whole(&a), whole(&b))] {
            let mut sum = b.clone();
            add(&mut sum, &a).unwrap();
            let mut other = a.clone();
            add(&mut other, &b).unwrap();
            compact(&mut sum);
            compact(&mut other);
            prop_assert_eq!(sum.count, a.count + b.count);
            prop_assert_eq!(text(&sum), text(&other));
        }
    }

    #[test]
    fn what_only_grew_was_not_reset(a in any_histogram(), b in any_histogram()) {
        let (wide, more) = (whole(&a), whole(&b));
        let mut now = wide.clone();
        add(&mut now, &more).unwrap();
        prop_assert!(!was_reset(&now, &wide));
        prop_assert_eq!(was_reset(&wide, &now), more.count > 0.0 || more.schema < wide.schema || now.zero_threshold > wide.zero_threshold);
    }

    #[test]
    fn totals_of_parts_are_totals_of_all(parts in prop::collection::vec(any_histogram(), 2..6), cut in 1usize..5) {
        let cut = cut.min(parts.len() - 1);
        let fold = |parts: &[Histogram], add: fn(&mut Total, &Histogram) -> Result<(), Incompatible>| {
            let mut total = Total::of(parts[0].clone());
            parts[1..].iter().for_each(|h| add(&mut total, h).unwrap());
            total
        };
        let mut sum = fold(&parts[..cut], Total::add_to_sum);
        sum.merge_sum(fold(&parts[cut..], Total::add_to_sum)).unwrap();
        let (sum, expected) = (sum.into_sum(), fold(&parts, Total::add_to_sum).into_sum());
        prop_assert_eq!(sum.count, expected.count);
        prop_assert_eq!(sum.schema, expected.schema);
        let mut mean = fold(&parts[..cut], Total::add_to_mean);
        mean.merge_mean(fold(&parts[cut..], Total::add_to_mean)).unwrap();
        prop_assert!(same(mean.into_mean().count, expected.count / parts.len() as f64));
    }

    #[test]
    fn quantiles_ascend_and_fractions_invert_them(histogram in any_histogram(), low in 0.0f64..1.0, high in 0.0f64..1.0) {
        let (low, high) = (low.min(high), low.max(high));
        let histogram = whole(&histogram);
        prop_assume!(histogram.count > 0.0);
        let (a, b) = (quantile(low, &histogram).0, quantile(high, &histogram).0);
        prop_assert!(a <= b + 1e-9 || a.is_nan() || b.is_nan(), "{a} {b}");
    }

    #[test]
    fn parts_cut_at_a_value_are_the_whole(histogram in any_histogram(), at in -8.0f64..8.0) {
        let part = |keep| {
            let mut out = histogram.clone();
            trim(&mut out, at, keep);
            out.count
        };
        let (below, above) = (part(Keep::Below), part(Keep::Above));
        prop_assert!(same(below + above, histogram.count), "{below} + {above} of {}", histogram.count);
    }
}
