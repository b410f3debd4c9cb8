use rstest::rstest;

use super::*;

#[rstest]
#[case("my-config", "STAKATER_MY_CONFIG_CONFIGMAP")]
#[case("www.stakater.com", "STAKATER_WWW_STAKATER_COM_CONFIGMAP")]
#[case("my.app-config", "STAKATER_MY_APP_CONFIG_CONFIGMAP")]
#[case("0-config", "STAKATER_0_CONFIG_CONFIGMAP")]
#[case("a--b", "STAKATER_A_B_CONFIGMAP")]
#[case("a..b.-c", "STAKATER_A_B_C_CONFIGMAP")]
#[case("-lead", "STAKATER_LEAD_CONFIGMAP")]
#[case("trail-", "STAKATER_TRAIL__CONFIGMAP")]
#[case("trail-.-.", "STAKATER_TRAIL__CONFIGMAP")]
#[case("a_b", "STAKATER_A_B_CONFIGMAP")]
#[case("UPPER.Case", "STAKATER_UPPER_CASE_CONFIGMAP")]
#[case("héllo", "STAKATER_H_LLO_CONFIGMAP")]
#[case("日本", "STAKATER__CONFIGMAP")]
#[case("---", "STAKATER__CONFIGMAP")]
#[case("", "STAKATER__CONFIGMAP")]
#[case("日本-a", "STAKATER_A_CONFIGMAP")]
#[case("straße", "STAKATER_STRA_E_CONFIGMAP")]
#[case("ı-x", "STAKATER_I_X_CONFIGMAP")]
#[case("ſ", "STAKATER_S_CONFIGMAP")]
fn names_the_variable_as_upstream_does(#[case] name: &str, #[case] expected: &str) {
    assert_eq!(env_name(SourceKind::ConfigMap, name), expected);
}

#[rstest]
#[case(SourceKind::Secret, "STAKATER_MY_CONFIG_SECRET")]
#[case(SourceKind::SecretProviderClass, "STAKATER_MY_CONFIG_SECRETPROVIDERCLASS")]
fn each_kind_has_its_own_suffix(#[case] kind: SourceKind, #[case] expected: &str) {
    assert_eq!(env_name(kind, "my-config"), expected);
}
