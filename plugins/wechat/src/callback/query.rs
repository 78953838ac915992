//! The parameters of a push (§5).

use super::Refused;

/// Bytes of a query. WeChat's have some two hundred.
const QUERY_BYTES_MAX: usize = 4096;

/// Names and values, decoded. WeChat adds some that nobody here needs.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Takes a query apart. A name that comes twice is refused: which of the two was checked, would be anybody's guess.
    pub(super) fn parse(query: &str) -> Result<Query, Refused> {
        if query.len() > QUERY_BYTES_MAX {
            let why = format!("the query has {} bytes; at most {QUERY_BYTES_MAX} are read", query.len());
            return Err(Refused::malformed(why));
        }
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = decode(name).zip(decode(value));
            let (name, value) = decoded.ok_or_else(|| Refused::malformed("the query is not percent-encoded UTF-8"))?;
            if pairs.iter().any(|(other, _)| *other == name) {
                return Err(Refused::malformed("a parameter of the query comes twice"));
            }
            pairs.push((name, value));
        }
        Ok(Query(pairs))
    }

    /// The value of a parameter that has to be there.
    pub(super) fn required(&self, name: &str) -> Result<&str, Refused> {
        let value = self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
        match value {
            Some(value) if !value.is_empty() => Ok(value),
            _ => Err(Refused::malformed(format!("the query has no `{name}`; WeChat's own pushes have one"))),
        }
    }
}

/// Undoes percent-encoding (RFC 3986 §2.1). A plus sign stays: WeChat's values have no spaces, and base64 has pluses.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2)?;
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        bytes.push(digit(digits[0])? * 16 + digit(digits[1])?);
        rest = tail;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_keep_their_pluses() {
        let query = Query::parse("a=1%2B+%2f%E8%8C%B6&&b=x=y&c").unwrap_or_else(|it| panic!("{}", it.why));
        assert_eq!(query.required("a").ok(), Some("1++/茶"));
        assert_eq!(query.required("b").ok(), Some("x=y"));
        assert!(query.required("c").is_err_and(|it| it.status == 400 && it.why.contains("`c`")));
    }

    #[test]
    fn a_query_that_can_be_read_in_two_ways_or_in_none_is_refused() {
        for query in ["a=1&a=1", "a=1&%61=2", "a=%", "a=%4", "a=%zz", "a=%+1", "a=%ff", &"a".repeat(4097)] {
            assert!(Query::parse(query).is_err_and(|it| it.status == 400), "{query}");
        }
    }
}
