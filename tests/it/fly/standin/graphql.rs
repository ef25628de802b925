//! The older API, GraphQL: organisations and regions.
//!
//! Owns a lenient parser of queries: names, arguments that are skipped, and selections. A query for
//! a field that is not documented here is an error. Errors have the form of GraphQL, with the
//! status 200 (fly-go, `types.go`: `message`, `path`, `extensions.code`).

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::platform::REGIONS;
use super::shared::Shared;

/// A request of GraphQL over HTTP.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[serde(rename_all = "camelCase")]
struct Ask {
    query: String,
    #[serde(default)]
    variables: Option<Map<String, Value>>,
    #[serde(rename = "operationName")]
    _operation_name: Option<String>,
}

/// A requested field, with its selection.
#[derive(Debug)]
struct Field {
    name: String,
    asked: Vec<Field>,
}

/// Answers a query.
pub fn answer(shared: &Arc<Shared>, call: &Call) -> Outcome {
    let ask: Ask = call.json()?;
    let known = Value::Object(known(shared));
    let answer = read(&ask.query, ask.variables.as_ref())
        .and_then(|fields| select(&fields, &known, "Query"));
    Ok(match answer {
        Ok(data) => Answer::json(200, json!({ "data": data })),
        Err(what) => {
            let error = json!({ "message": what, "locations": [{ "line": 1, "column": 1 }], "path": ["query"],
                "extensions": { "code": "undefinedField" } });
            let mut answer = Answer::json(200, json!({ "errors": [error] }));
            answer.complaint = Some(what);
            answer
        }
    })
}

/// The answer to an unauthenticated client.
pub fn unknown(shared: &Arc<Shared>, refusal: Refusal) -> Refusal {
    let mut answer = *refusal.0;
    if !shared.options.graphql_401 {
        answer.status = 200;
    }
    answer.body = Some(json!({
        "data": null,
        "errors": [{ "message": "You must be authenticated to view this.", "path": ["organizations"],
            "extensions": { "code": "UNAUTHORIZED" } }],
    }));
    Refusal(Box::new(answer))
}

/// All fields that exist.
fn known(shared: &Arc<Shared>) -> Map<String, Value> {
    let trial = shared.options.trial.is_some();
    let organizations = shared.options.organizations.iter().enumerate().map(|(number, organization)| {
        let kind = if organization.personal { "PERSONAL" } else { "SHARED" };
        json!({
            "id": format!("org{number}"), "slug": organization.slug, "rawSlug": organization.slug,
            "name": organization.name, "type": kind, "paidPlan": false, "billable": !trial,
            "viewerRole": "admin", "internalNumericId": (number + 1).to_string(),
        })
    });
    let regions = REGIONS.iter().map(|region| {
        json!({
            "code": region.code, "name": region.name, "latitude": region.latitude,
            "longitude": region.longitude, "gatewayAvailable": true, "requiresPaidPlan": region.paid,
        })
    });
    let mut all = Map::new();
    all.insert(
        "organizations".to_owned(),
        json!({ "nodes": organizations.collect::<Vec<_>>() }),
    );
    let platform =
        json!({ "requestRegion": REGIONS[0].code, "regions": regions.collect::<Vec<_>>() });
    all.insert("platform".to_owned(), platform);
    all
}

/// The requested fields of an object.
fn select(fields: &[Field], from: &Value, kind: &str) -> Result<Value, String> {
    match from {
        Value::Array(all) => all.iter().map(|one| select(fields, one, kind)).collect(),
        Value::Object(all) if !fields.is_empty() => {
            let picked = fields.iter().map(|field| {
                let name = &field.name;
                let found = all
                    .get(name)
                    .ok_or_else(|| format!("Field '{name}' doesn't exist on type '{kind}'"))?;
                Ok((name.clone(), select(&field.asked, found, name)?))
            });
            picked.collect::<Result<_, String>>().map(Value::Object)
        }
        Value::Object(_) => Err(format!(
            "Field must have selections (field '{kind}' returns an object)"
        )),
        leaf if fields.is_empty() => Ok(leaf.clone()),
        _ => Err(format!(
            "Selections can't be made on scalars (field '{kind}')"
        )),
    }
}

/// Parses a query: `query Name($a: B!) { field(a: $a) { … } }`, or the braces alone.
fn read(query: &str, variables: Option<&Map<String, Value>>) -> Result<Vec<Field>, String> {
    let open = query.find('{').ok_or("Unexpected end of document")?;
    let head = query[..open].trim();
    if !head.is_empty() && !head.starts_with("query") {
        return Err(format!("Parse error on \"{head}\""));
    }
    for variable in head.split('$').skip(1) {
        let (name, kind) = variable
            .split_once(':')
            .ok_or("Parse error in the variables")?;
        let given = variables
            .and_then(|all| all.get(name.trim()))
            .is_some_and(|value| !value.is_null());
        if kind.contains('!') && !kind.contains('=') && !given {
            return Err(format!(
                "Variable ${} was provided invalid value",
                name.trim()
            ));
        }
    }
    let words = words(&query[open..]);
    let mut words = words.iter().map(String::as_str);
    words.next();
    let fields = fields(&mut words)?;
    if words.next().is_some() {
        Err("Parse error after the end of the query".to_owned())
    } else {
        Ok(fields)
    }
}

/// Parses a selection up to its closing brace.
fn fields<'a>(words: &mut impl Iterator<Item = &'a str>) -> Result<Vec<Field>, String> {
    let mut all: Vec<Field> = Vec::new();
    loop {
        match words.next() {
            None => return Err("Unexpected end of document".to_owned()),
            Some("}") => return Ok(all),
            Some("(") => while words.next().is_some_and(|word| word != ")") {},
            Some("{") => {
                let inner = fields(words)?;
                all.last_mut().ok_or("Parse error on \"{\"")?.asked = inner;
            }
            Some(name)
                if name
                    .chars()
                    .all(|letter| letter.is_ascii_alphanumeric() || letter == '_') =>
            {
                all.push(Field {
                    name: name.to_owned(),
                    asked: Vec::new(),
                });
            }
            Some(odd) => return Err(format!("Parse error on \"{odd}\"")),
        }
    }
}

/// Splits a text into names and punctuation.
fn words(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut name = String::new();
    for letter in text.chars() {
        if letter.is_ascii_alphanumeric() || letter == '_' {
            name.push(letter);
            continue;
        }
        if !name.is_empty() {
            all.push(std::mem::take(&mut name));
        }
        if !letter.is_whitespace() && letter != ',' {
            all.push(letter.to_string());
        }
    }
    all
}
