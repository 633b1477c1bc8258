//! The schema of the vector layout.

use std::sync::{Arc, LazyLock};

use arrow_schema::{DataType, Field, Schema, SchemaRef};

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

static VALUE_FIELD: LazyLock<Arc<Field>> = LazyLock::new(|| Arc::new(Field::new("item", DataType::Float64, true)));

/// The schema of every vector operator's output.
pub fn vector_schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// The field inside the list of values.
pub(crate) fn value_field() -> Arc<Field> {
    Arc::clone(&VALUE_FIELD)
}
