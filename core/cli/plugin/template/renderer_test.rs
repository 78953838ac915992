//! The plugin as Tidings uses it, without Tidings.

use serde_json::{Value, json};
use tidings_sdk::{App, Part, Settings};

fn render(part: Part, data: Value) -> Result<Value, String> {
    let plugin = acme_plugin::plugin();
    let (_, fill) = &plugin.renderers[0];
    let app = App { name: "main".to_owned(), settings: Settings::default() };
    let content = fill.render(&app, &[("key".to_owned(), part)], &data);
    content.map(|content| content["key"].clone()).map_err(|violation| violation.problem)
}

#[test]
fn names_are_filled_in() {
    let text = |text: &str| Part::Text(text.to_owned());
    assert_eq!(render(text("Hello {name}!"), json!({"name": "Ann"})), Ok(json!("Hello Ann!")));
    assert_eq!(render(Part::Page("p?id={id}".to_owned()), json!({"id": "a b"})), Ok(json!("p?id=a%20b")));
    assert_eq!(render(Part::Fixed(json!(7)), json!({})), Ok(json!(7)));
    let rows = Part::Table(vec![("row".to_owned(), "{n}".to_owned())]);
    assert_eq!(render(rows, json!({"n": 5})), Ok(json!({"row": "5"})));
}

#[test]
fn what_cannot_be_filled_in_is_told() {
    assert!(render(Part::Text("{name}".to_owned()), json!({})).unwrap_err().contains("`name`"));
    assert!(render(Part::Text("{name".to_owned()), json!({})).unwrap_err().contains("without a `}`"));
}
