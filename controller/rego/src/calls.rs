//! What a rule may call: its own functions, and builtins that always give the same answer and reach
//! nothing outside. What is not listed is refused before it is ever asked.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::problem::RuleError;

/// Builtins that depend on their arguments alone. `docs/reference/rego.md` lists the same.
#[rustfmt::skip]
pub(crate) const BUILTINS: &[&str] = &[
    "abs", "array.concat", "array.reverse", "array.slice", "bits.and", "bits.lsh", "bits.negate",
    "bits.or", "bits.rsh", "bits.xor", "ceil", "concat", "contains", "count", "endswith", "floor",
    "format_int", "indexof", "indexof_n", "intersection", "is_array", "is_boolean", "is_null",
    "is_number", "is_object", "is_set", "is_string", "json.filter", "json.is_valid",
    "json.marshal", "json.remove", "json.unmarshal", "lower", "max", "min", "numbers.range",
    "numbers.range_step", "object.filter", "object.get", "object.keys", "object.remove",
    "object.subset", "object.union", "object.union_n", "product", "regex.find_n",
    "regex.find_all_string_submatch_n", "regex.is_valid", "regex.match", "regex.replace",
    "regex.split", "replace", "round", "semver.compare", "semver.is_valid", "sort", "split",
    "sprintf", "startswith", "strings.any_prefix_match", "strings.any_suffix_match",
    "strings.count", "strings.replace_n", "strings.reverse", "substring", "sum",
    "time.parse_rfc3339_ns", "to_number", "trim", "trim_left", "trim_prefix", "trim_right",
    "trim_space", "trim_suffix", "type_name", "union", "units.parse", "units.parse_bytes", "upper",
];

/// Families that people know from elsewhere, and why they are not here.
const REFUSED: [(&str, &str); 9] = [
    (
        "http.",
        "a rule reaches no network; attach what it needs to the image, as an attestation",
    ),
    ("net.", "a rule reaches no network"),
    (
        "io.",
        "signatures are for the policy's authorities; a rule sees what they signed",
    ),
    (
        "crypto.",
        "signatures are for the policy's authorities; a rule sees what they signed",
    ),
    (
        "time.now_ns",
        "a rule has no clock; compare with input.now, by time.parse_rfc3339_ns",
    ),
    ("rand.", "a rule gives the same answer to the same question"),
    ("uuid.", "a rule gives the same answer to the same question"),
    ("opa.", "a rule knows nothing of the program that asks it"),
    ("print", "nobody reads it; say it by deny"),
];

/// A parsed module, as far as it matters what it defines and calls.
pub(crate) struct Module<'a> {
    /// What is called in each function, by its name; everything outside functions under no name.
    calls: BTreeMap<String, Vec<Call>>,
    /// The names of all rules that are no functions.
    rules: Vec<String>,
    ast: &'a Value,
}

/// A name in the text.
struct Call {
    name: String,
    line: u32,
    column: u32,
}

impl<'a> Module<'a> {
    /// Of the interpreter's syntax tree.
    pub(crate) fn new(ast: &'a Value) -> Self {
        let (mut calls, mut names) = (BTreeMap::<_, Vec<_>>::new(), Vec::new());
        let rules = ast.get("rules").and_then(Value::as_array);
        for rule in rules.into_iter().flatten() {
            let (name, is_function) = head(rule);
            if !is_function {
                names.push(name.clone());
            }
            let name = if is_function { name } else { String::new() };
            collect(rule, calls.entry(name).or_default());
        }
        Self {
            calls,
            rules: names,
            ast,
        }
    }

    /// Whether there is a rule with this name.
    pub(crate) fn defines(&self, name: &str) -> bool {
        self.rules.iter().any(|rule| rule == name)
    }

    /// The package.
    pub(crate) fn package(&self) -> String {
        let path = self.ast.pointer("/package/refr").and_then(place);
        path.map_or_else(String::new, |path| path.name)
    }

    /// The first thing in it that is refused.
    pub(crate) fn refused(&self) -> Option<RuleError> {
        let unknown = |call: &&Call| {
            call.name.is_empty()
                || !(self.calls.contains_key(&call.name) || BUILTINS.contains(&&*call.name))
        };
        let mut calls = self.calls.values().flatten();
        let call = calls.find(unknown).map(refusal);
        call.or_else(|| self.replaced())
            .or_else(|| self.recursion())
    }

    /// `with` can put any builtin in the place of another, and another input under the rule.
    fn replaced(&self) -> Option<RuleError> {
        let span = find(self.ast, "with_mods")?.pointer("/0/span")?;
        Some(RuleError::at(
            number(span, "line"),
            number(span, "col"),
            "with is refused: a rule is asked about the input that it is given",
        ))
    }

    /// A function that ends up calling itself: nothing but the end of its memory would stop it.
    fn recursion(&self) -> Option<RuleError> {
        self.calls.iter().find_map(|(function, calls)| {
            let mut seen: Vec<&str> = Vec::new();
            let mut open: Vec<&Call> = calls.iter().collect();
            while let Some(call) = open.pop() {
                if call.name == *function {
                    let text = format!("{function} calls itself, which Rego does not allow");
                    return Some(RuleError::at(call.line, call.column, &text));
                }
                if !seen.contains(&&*call.name) {
                    seen.push(&call.name);
                    open.extend(self.calls.get(&call.name).into_iter().flatten());
                }
            }
            None
        })
    }
}

fn refusal(call: &Call) -> RuleError {
    let name = &call.name;
    let why = REFUSED.iter().find(|(family, _)| name.starts_with(family));
    let text = match why {
        Some((_, why)) => format!("{name} is refused: {why}"),
        None => {
            format!("there is no function {name}; docs/reference/rego.md lists those there are")
        }
    };
    RuleError::at(call.line, call.column, &text)
}

/// The name that a rule defines, and whether it is a function.
fn head(rule: &Value) -> (String, bool) {
    let of = |pointer: &str| rule.pointer(pointer).and_then(place);
    let function = of("/Spec/head/Func/refr").or_else(|| {
        let arguments = rule.pointer("/Default/args")?.as_array()?;
        of("/Default/refr").filter(|_| !arguments.is_empty())
    });
    let is_function = function.is_some();
    let path = function
        .or_else(|| of("/Spec/head/Compr/refr"))
        .or_else(|| of("/Spec/head/Set/refr"))
        .or_else(|| of("/Default/refr"));
    (path.map_or_else(String::new, |path| path.name), is_function)
}

/// Every call below a node.
fn collect(node: &Value, calls: &mut Vec<Call>) {
    if let Some(function) = node.pointer("/Call/fcn") {
        calls.push(place(function).unwrap_or(Call {
            name: String::new(),
            line: 0,
            column: 0,
        }));
    }
    children(node).for_each(|child| collect(child, calls));
}

/// The first field of this name below a node.
fn find<'a>(node: &'a Value, name: &str) -> Option<&'a Value> {
    node.get(name)
        .or_else(|| children(node).find_map(|child| find(child, name)))
}

fn children(node: &Value) -> impl Iterator<Item = &Value> {
    let items = node.as_array().into_iter().flatten();
    let fields = node
        .as_object()
        .into_iter()
        .flat_map(|fields| fields.values());
    items.chain(fields)
}

/// A reference such as `a.b["c"]` as one name, as the package itself would write it, and where it
/// stands. Nothing where it is computed.
fn place(reference: &Value) -> Option<Call> {
    let mut call = dotted(reference)?;
    if let Some(own) = call.name.strip_prefix("data.lockmaster.") {
        call.name = own.to_owned();
    }
    Some(call)
}

fn dotted(reference: &Value) -> Option<Call> {
    if let Some(variable) = reference.get("Var") {
        let span = variable.get("span")?;
        return Some(Call {
            name: variable.get("value")?.as_str()?.to_owned(),
            line: number(span, "line"),
            column: number(span, "col"),
        });
    }
    let (node, field) = if let Some(node) = reference.get("RefDot") {
        (node, node.pointer("/field/1")?)
    } else {
        let node = reference.get("RefBrack")?;
        (node, node.pointer("/index/String/value")?)
    };
    let mut call = dotted(node.get("refr")?)?;
    call.name.push('.');
    call.name.push_str(field.as_str()?);
    Some(call)
}

fn number(span: &Value, key: &str) -> u32 {
    let number = span.get(key).and_then(Value::as_u64);
    number
        .and_then(|number| u32::try_from(number).ok())
        .unwrap_or_default()
}
