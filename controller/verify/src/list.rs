//! Lists from outside that are longer than anybody needs: what is behind the limit is counted, and
//! takes no memory.
//!
//! Three bytes of JSON, `{},`, make a struct of a hundred: a list is not read as a whole before
//! somebody asks how long it is.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The first `LIMIT` items of a list, and how many it has.
pub(crate) struct Capped<T, const LIMIT: usize> {
    /// The first ones.
    kept: Vec<T>,
    /// All of them.
    count: usize,
}

impl<T, const LIMIT: usize> Default for Capped<T, LIMIT> {
    fn default() -> Self {
        Self {
            kept: Vec::new(),
            count: 0,
        }
    }
}

impl<T, const LIMIT: usize> Capped<T, LIMIT> {
    /// How many there are, whether they are kept or not.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// All of them, which are called `what` in the problem, or that there are too many.
    pub(crate) fn all(self, what: &str) -> Result<Vec<T>, String> {
        let Self { kept, count } = self;
        if count > LIMIT {
            return Err(format!("it has {count} {what}, the limit is {LIMIT}"));
        }
        Ok(kept)
    }
}

impl<'de, T: Deserialize<'de>, const LIMIT: usize> Deserialize<'de> for Capped<T, LIMIT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Reader(PhantomData))
    }
}

struct Reader<T, const LIMIT: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const LIMIT: usize> Visitor<'de> for Reader<T, LIMIT> {
    type Value = Capped<T, LIMIT>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut kept = Vec::new();
        while kept.len() < LIMIT {
            let Some(item) = items.next_element()? else {
                let count = kept.len();
                return Ok(Capped { kept, count });
            };
            kept.push(item);
        }
        let mut count = kept.len();
        while items.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Capped { kept, count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_the_limit_is_counted_and_not_kept() {
        let read = |text: &str| serde_json::from_str::<Capped<u8, 3>>(text).unwrap();
        assert_eq!(read("[]").all("numbers"), Ok(vec![]));
        assert_eq!(read("[1,2,3]").all("numbers"), Ok(vec![1, 2, 3]));
        let more = read(r#"[1,2,3,"x",{}]"#);
        assert_eq!((more.kept.as_slice(), more.count()), (&[1, 2, 3][..], 5));
        let problem = more.all("numbers").unwrap_err();
        assert_eq!(problem, "it has 5 numbers, the limit is 3");
        assert!(serde_json::from_str::<Capped<u8, 3>>(r#"["x"]"#).is_err());
        assert!(serde_json::from_str::<Capped<u8, 3>>("null").is_err());
    }
}
