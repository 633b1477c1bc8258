//! The schemas of the vector layout: without histograms, and with them.

use std::sync::{Arc, LazyLock};

use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new(
            "labels",
            DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Binary)),
            false,
        ),
        Field::new("first_step", DataType::UInt32, false),
        Field::new("values", DataType::List(value_field()), false),
    ]))
});

static WIDE_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields: Vec<Arc<Field>> = SCHEMA.fields().iter().cloned().collect();
    fields.push(histograms_field());
    Arc::new(Schema::new(fields))
});

static VALUE_FIELD: LazyLock<Arc<Field>> = LazyLock::new(|| Arc::new(Field::new("item", DataType::Float64, true)));

static SPAN_FIELDS: LazyLock<Fields> = LazyLock::new(|| {
    Fields::from(vec![
        Field::new("offset", DataType::Int32, false),
        Field::new("length", DataType::UInt32, false),
    ])
});

static HISTOGRAM_FIELDS: LazyLock<Fields> = LazyLock::new(|| {
    let float = |name: &str| Field::new(name, DataType::Float64, false);
    let spans = |name: &str| Field::new(name, DataType::List(span_field()), false);
    let floats = |name: &str| Field::new(name, DataType::List(value_field()), false);
    Fields::from(vec![
        Field::new("step", DataType::UInt32, false),
        Field::new("steps", DataType::UInt32, false),
        Field::new("schema", DataType::Int32, false),
        Field::new("counter_reset", DataType::UInt8, false),
        float("zero_threshold"),
        float("zero_count"),
        float("count"),
        float("sum"),
        spans("positive_spans"),
        spans("negative_spans"),
        floats("positive_buckets"),
        floats("negative_buckets"),
        floats("custom_values"),
    ])
});

/// The schema of every vector operator's output. A batch with histograms has one column more: [`wide_schema`].
pub fn vector_schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// The schema of a batch with histograms.
pub fn wide_schema() -> SchemaRef {
    Arc::clone(&WIDE_SCHEMA)
}

/// The field inside the list of values.
pub(crate) fn value_field() -> Arc<Field> {
    Arc::clone(&VALUE_FIELD)
}

/// The field inside a list of spans.
pub(super) fn span_field() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Struct(span_fields()), false))
}

pub(super) fn span_fields() -> Fields {
    SPAN_FIELDS.clone()
}

/// The fields of one run of a histogram: see [`super::histograms`].
pub(super) fn histogram_fields() -> Fields {
    HISTOGRAM_FIELDS.clone()
}

/// The field inside the list of histograms.
pub(super) fn histogram_field() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Struct(histogram_fields()), false))
}

/// The column of histograms.
pub(crate) fn histograms_field() -> Arc<Field> {
    Arc::new(Field::new("histograms", DataType::List(histogram_field()), false))
}
