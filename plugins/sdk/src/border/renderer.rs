//! `renderer/1` in front of [`crate::Renderer`].

use std::ffi::c_void;

use serde_json::{Map, Value};
use tidings_abi::empty;
use tidings_abi::v1::{self, Text};

use super::instance::{Stage, Stop, call, mixed_up};
use super::values::{Field, Problems, fields, size, text};
use crate::render::Part;

pub(super) static TABLE: v1::Renderer =
    v1::Renderer { struct_size: size::<v1::Renderer>(), reserved: 0, render: Some(render) };

unsafe extern "C" fn render(
    this: *mut c_void,
    first: *const v1::Field,
    field_count: usize,
    field_stride: usize,
    data: Text,
    sink: v1::FieldSink,
    problems: v1::Problems,
) -> i32 {
    // SAFETY: the host's word, by the header: what it lends is there for the call.
    unsafe {
        call(this, |instance| {
            let Stage::Renderer(stage) = instance.stage else { return Err(mixed_up()) };
            let given: Vec<Field<'_>> = fields(first, field_count, field_stride)?.collect::<Result<_, _>>()?;
            // The error of serde_json is left out: it may quote what it read.
            let data: Value = serde_json::from_str(text(data)?)
                .map_err(|_| Stop::Failed("the host sent data that are no JSON".to_owned()))?;
            let rendered = stage
                .render(&instance.app, &parts(&given)?, &data)
                .map_err(|violation| Problems(problems).put_all(&[violation]))?;
            put_rendered(sink, &given, &rendered)
        })
    }
}

/// What the renderer is to fill in: the rows of a table are one part.
fn parts(given: &[Field<'_>]) -> Result<Vec<(String, Part)>, Stop> {
    let mut parts: Vec<(String, Part)> = Vec::with_capacity(given.len());
    for field in given {
        let key = field.key.to_owned();
        let is_filled = field.kind & v1::FIELD_FILL != 0;
        match (field.what(), is_filled) {
            (v1::FIELD_TEXT, true) if field.kind & v1::FIELD_PAGE != 0 => {
                parts.push((key, Part::Page(field.value.into())));
            }
            (v1::FIELD_TEXT, true) => parts.push((key, Part::Text(field.value.into()))),
            (v1::FIELD_TEXT, false) => parts.push((key, Part::Fixed(field.value.into()))),
            (v1::FIELD_JSON, false) => parts.push((key, Part::Fixed(field.json()?))),
            (v1::FIELD_ROW, _) => put_row(&mut parts, key, field, is_filled)?,
            _ => return Err(field.unknown()),
        }
    }
    Ok(parts)
}

fn put_row(parts: &mut Vec<(String, Part)>, key: String, field: &Field<'_>, is_filled: bool) -> Result<(), Stop> {
    match (parts.iter_mut().find(|(other, _)| *other == key).map(|(_, part)| part), is_filled) {
        (None, true) => parts.push((key, Part::Table(vec![(field.row.into(), field.value.into())]))),
        (None, false) => {
            let rows = Map::from_iter([(field.row.to_owned(), field.value.into())]);
            parts.push((key, Part::Fixed(Value::Object(rows))));
        }
        (Some(Part::Table(rows)), true) => rows.push((field.row.into(), field.value.into())),
        (Some(Part::Fixed(Value::Object(rows))), false) => drop(rows.insert(field.row.to_owned(), field.value.into())),
        _ => return Err(Stop::Failed(format!("the host sent rows of `{key}` both to fill in and as they stand"))),
    }
    Ok(())
}

/// Every field as it was given, in order, with the value that was rendered.
fn put_rendered(sink: v1::FieldSink, given: &[Field<'_>], rendered: &Map<String, Value>) -> Result<(), Stop> {
    let Some(put) = sink.put else { return Ok(()) };
    for field in given {
        let value = rendered.get(field.key);
        let value = if field.what() == v1::FIELD_ROW { value.and_then(|rows| rows.get(field.row)) } else { value };
        let (kind, value) = match (field.what(), value) {
            (v1::FIELD_JSON, Some(value)) => (v1::FIELD_JSON, &value.to_string()),
            (kind, Some(Value::String(text))) => (kind, text),
            _ => return Err(Stop::Failed(format!("the renderer has left `{}` out", field.key))),
        };
        let field =
            v1::Field { kind, key: Text::of(field.key), row: Text::of(field.row), value: Text::of(value), ..empty() };
        // SAFETY: the host's word: its sink is there for the call this is made in; the texts outlive this one.
        unsafe { put(sink.context, &raw const field) };
    }
    Ok(())
}
