//! The environment variables of a provider's own ecosystem, such as `VAULT_ADDR`.
//!
//! The program reads them once at start and passes them on. No provider reads the environment
//! itself, if its SDK allows that.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

/// A variable that a provider reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable {
    /// The name of the variable. It is the one that the vendor's own tools use, if they have one.
    pub name: &'static str,
    /// A description in one line.
    pub help: &'static str,
}

/// Variables by name. The values may be secret: `Debug` shows only the names, and the memory is wiped when dropped.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Variables(Arc<BTreeMap<String, Zeroizing<String>>>);

impl Variables {
    /// The value without surrounding white space, if it is set and not empty. Values from files, such as secrets of
    /// Kubernetes, often end with an unwanted line break.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(|value| value.trim())
            .filter(|value| !value.is_empty())
    }

    /// The names of the variables that are set, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// These variables, overridden by those of `over`.
    #[must_use]
    pub fn overlaid(&self, over: &Self) -> Self {
        let both = self.0.iter().chain(over.0.iter());
        Self(Arc::new(
            both.map(|(name, value)| (name.clone(), value.clone())).collect(),
        ))
    }

    /// The variables whose names begin with this prefix, under their names without it.
    #[must_use]
    pub fn under(&self, prefix: &str) -> Self {
        let rest = self.0.iter().filter_map(|(name, value)| {
            let rest = name.strip_prefix(prefix)?;
            Some((rest.to_owned(), value.clone()))
        });
        Self(Arc::new(rest.collect()))
    }
}

impl FromIterator<(String, String)> for Variables {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        let wiped = variables.into_iter().map(|(name, value)| (name, Zeroizing::new(value)));
        Self(Arc::new(wiped.collect()))
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let variables = variables(&[("VAULT_ADDR", ""), ("VAULT_TOKEN", "t")]);
        assert_eq!(variables.get("VAULT_ADDR"), None);
        assert_eq!(variables.get("VAULT_TOKEN"), Some("t"));
        assert_eq!(variables.get("VAULT"), None);
    }

    #[test]
    fn the_line_break_at_the_end_of_a_secret_of_kubernetes_is_no_part_of_the_value() {
        let variables = variables(&[("VAULT_NAMESPACE", " team/blue\r\n"), ("AWS_REGION", "\n")]);
        assert_eq!(variables.get("VAULT_NAMESPACE"), Some("team/blue"));
        assert_eq!(variables.get("AWS_REGION"), None);
    }

    #[test]
    fn what_stands_under_a_prefix_lies_over_the_rest() {
        let all = variables(&[
            ("VAULT_ADDR", "a"),
            ("VAULT_TOKEN", "t"),
            ("SIGNET_ALSO_VAULT_ADDR", "b"),
        ]);
        let overlaid = all.overlaid(&all.under("SIGNET_ALSO_"));
        assert_eq!(overlaid.get("VAULT_ADDR"), Some("b"));
        assert_eq!(overlaid.get("VAULT_TOKEN"), Some("t"));
    }

    #[test]
    fn debug_shows_no_value() {
        let text = format!("{:?}", variables(&[("VAULT_TOKEN", "hvs.secret")]));
        assert_eq!(text, "{\"VAULT_TOKEN\"}");
    }
}
