//! The page that says what `--json` prints, and whether an object is as it says.

use std::collections::BTreeMap;

use serde_json::Value;

/// One row of a table.
#[derive(Debug, Clone)]
pub struct Field {
    /// Where it stands: `a`, `a.b`, `a[].b` or `a.*`.
    pub path: String,
    /// Its form: one or two words of JSON types.
    form: String,
    /// It is always there.
    is_always: bool,
}

/// What may be printed, by the headings of the page.
#[derive(Debug)]
pub struct JsonPage {
    sections: BTreeMap<String, Vec<Field>>,
}

impl JsonPage {
    /// Reads the page.
    ///
    /// # Panics
    /// When two sections have one heading.
    pub fn read(text: &str) -> Self {
        let mut sections: BTreeMap<String, Vec<Field>> = BTreeMap::new();
        let mut fields: Option<&mut Vec<Field>> = None;
        for line in text.lines() {
            if line.starts_with('#') {
                fields = line.strip_prefix("#### `").and_then(|rest| rest.strip_suffix('`')).map(
                    |name| {
                        assert!(!sections.contains_key(name), "{name} stands there twice");
                        sections.entry(name.to_owned()).or_default()
                    },
                );
            } else if let (Some(fields), Some(row)) = (&mut fields, line.strip_prefix("| `")) {
                let (path, row) = row.split_once("` | ").unwrap();
                let (form, _) = row.split_once(" | ").unwrap();
                let is_always = !form.ends_with('?');
                let form = form.trim_end_matches('?').to_owned();
                fields.push(Field { path: path.to_owned(), form, is_always });
            }
        }
        Self { sections }
    }

    /// The headings.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sections.keys().map(String::as_str)
    }

    /// The rows below a heading.
    pub fn fields(&self, name: &str) -> &[Field] {
        self.sections.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether an object with an `event` is as the page says.
    pub fn judge_event(&self, object: &Value) -> Result<(), String> {
        let name = object["event"].as_str().ok_or_else(|| format!("no event: {object}"))?;
        let mut fields = object.clone();
        if let Some(fields) = fields.as_object_mut() {
            fields.remove("event");
        }
        self.judge(name, &fields)
    }

    /// Whether an object is as the page says below this heading.
    pub fn judge(&self, name: &str, object: &Value) -> Result<(), String> {
        let Some(fields) = self.sections.get(name) else {
            return Err(format!("the page has no `{name}`: {object}"));
        };
        look(fields, "", object).map_err(|reason| format!("`{name}`: {reason}: {object}"))
    }
}

/// Looks at the fields of an object that stands at `prefix`.
fn look(fields: &[Field], prefix: &str, object: &Value) -> Result<(), String> {
    let Some(map) = object.as_object() else { return Ok(()) };
    // Unoptimised, and for each event of each program: what is no object is not gone through, and nothing is copied.
    let below: Vec<(&Field, &str)> =
        fields.iter().filter_map(|field| Some((field, field.path.strip_prefix(prefix)?))).collect();
    for (key, value) in map {
        let is_it = |(_, rest): &&(&Field, &str)| *rest == key.as_str() || *rest == "*";
        let field = below.iter().find(is_it).map(|(field, _)| *field);
        let field = field.ok_or_else(|| format!("{prefix}{key} is not on the page"))?;
        if !field.form.split(" or ").any(|form| is_of(form, value)) {
            return Err(format!("{prefix}{key} is no {}", field.form));
        }
        if value.is_object() {
            look(fields, &format!("{}.", field.path), value)?;
        }
        for one in value.as_array().into_iter().flatten().filter(|one| one.is_object()) {
            look(fields, &format!("{}[].", field.path), one)?;
        }
    }
    for (field, rest) in below.iter().filter(|(field, _)| field.is_always) {
        if !rest.contains(['.', '*']) && !map.contains_key(*rest) {
            return Err(format!("{} is missing", field.path));
        }
    }
    Ok(())
}

fn is_of(form: &str, value: &Value) -> bool {
    match form {
        "text" => value.is_string(),
        "time" => value.as_str().is_some_and(|text| text.ends_with('Z') && text.contains('T')),
        "number" => value.is_number(),
        "bool" => value.is_boolean(),
        "list" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_on_the_page_is_found() {
        let page = JsonPage::read(
            "#### `a`\n\n| field | form | meaning |\n|---|---|---|\n| `x` | text | . |\n| `y` | number? | . |\n\
             | `o` | object or null | . |\n| `o.l` | list | . |\n| `o.l[].n` | number | . |\n## end\n| `z` | text | . |\n",
        );
        let judge = |object: Value| page.judge("a", &object);
        assert_eq!(judge(json!({"x": "1", "o": null})), Ok(()));
        assert_eq!(judge(json!({"x": "1", "y": 1, "o": {"l": [{"n": 1}]}})), Ok(()));
        for wrong in [
            json!({"o": null}),
            json!({"x": 1, "o": null}),
            json!({"x": "1", "o": null, "z": "1"}),
            json!({"x": "1", "o": {}}),
            json!({"x": "1", "o": {"l": [{"n": "1"}]}}),
            json!({"x": "1", "o": {"l": [{}]}}),
        ] {
            assert!(judge(wrong.clone()).is_err(), "{wrong}");
        }
        assert!(page.judge_event(&json!({"event": "b"})).is_err());
    }
}
