//! What stands in a config file, setting by setting: what a reload compares.

use std::collections::BTreeMap;

use toml::de::{DeArray, DeTable, DeValue};

/// Every setting of a document by its path, as in `channels.order-updates.rate`, its value as it is written. A secret's
/// value is not among them: the file says only where it is.
pub(super) fn settings(document: &DeTable<'_>) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    walk(document, "", &mut settings);
    settings
}

fn walk(table: &DeTable<'_>, path: &str, settings: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        let key = key.get_ref();
        let path = if path.is_empty() { key.to_string() } else { format!("{path}.{key}") };
        match value.get_ref() {
            DeValue::Table(table) => walk(table, &path, settings),
            other => drop(settings.insert(path, written(other))),
        }
    }
}

fn written(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(digits) => digits.to_string(),
        DeValue::Float(digits) => digits.to_string(),
        DeValue::Boolean(yes) => yes.to_string(),
        DeValue::Datetime(at) => at.to_string(),
        DeValue::Array(items) => list(items),
        DeValue::Table(table) => {
            let members: Vec<String> =
                table.iter().map(|(key, value)| format!("{} = {}", key.get_ref(), written(value.get_ref()))).collect();
            format!("{{ {} }}", members.join(", "))
        }
    }
}

fn list(items: &DeArray<'_>) -> String {
    let items: Vec<String> = items.iter().map(|item| written(item.get_ref())).collect();
    format!("[{}]", items.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_its_path_and_its_value_as_written() {
        let text = "a = 1\n[b.c]\nd = \"x\\ty\"\ne = [1, { f = true }]\n[g]\n";
        let document = DeTable::parse(text).unwrap();
        let settings = settings(document.get_ref());
        let shown: Vec<String> = settings.iter().map(|(path, value)| format!("{path}: {value}")).collect();
        assert_eq!(shown, ["a: 1", r#"b.c.d: "x\ty""#, "b.c.e: [1, { f = true }]"]);
    }
}
