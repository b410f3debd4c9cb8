//! stub

/// stub
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// stub
    EnvVars,
    /// stub
    Annotations,
}

impl std::str::FromStr for Strategy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "env-vars" => Ok(Self::EnvVars),
            "annotations" => Ok(Self::Annotations),
            other => Err(other.to_owned()),
        }
    }
}
