//! Keys and certificates of one control plane. Input: names; output: PEM text. I/O: none.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::error::{Error, Result};

/// The object identifier of organizationName in a distinguished name (X.520).
const ORGANIZATION_NAME: [u64; 4] = [2, 5, 4, 10];

/// A certificate authority of its own, so that nothing made for one control plane is accepted by another.
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and the private key that belongs to it, both PEM.
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The private key (PKCS #8).
    pub key: String,
}

impl CertificateAuthority {
    /// Makes a new authority.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "testbed");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self {
            issuer: Issuer::new(params, key),
            pem,
        })
    }

    /// Its own certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// What the API server shows its clients: valid for the loopback address and for the names pods use.
    pub fn server(&self) -> Result<Identity> {
        let names = [
            "127.0.0.1",
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "10.96.0.1",
        ];
        let params = CertificateParams::new(names.map(str::to_owned))?;
        self.issue(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// What a client shows the API server: the common name is the user, each organization a group
    /// (<https://kubernetes.io/docs/reference/access-authn-authz/authentication/#x509-client-certificates>).
    ///
    /// Two groups at most: rcgen's distinguished name holds one value a type, and an organization can be spelled as a type in two
    /// ways, by name and by number.
    pub fn client(&self, user: &str, groups: &[&str]) -> Result<Identity> {
        let organization = [
            DnType::OrganizationName,
            DnType::CustomDnType(ORGANIZATION_NAME.to_vec()),
        ];
        if groups.len() > organization.len() {
            return Err(Error::TooManyGroups {
                user: user.to_owned(),
                groups: groups.len(),
            });
        }
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, user);
        for (kind, group) in organization.into_iter().zip(groups) {
            params.distinguished_name.push(kind, *group);
        }
        self.issue(params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(&self, mut params: CertificateParams, purpose: ExtendedKeyUsagePurpose) -> Result<Identity> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Identity {
            certificate,
            key: key.serialize_pem(),
        })
    }
}

/// The key pair that signs and checks `ServiceAccount` tokens: (private, public), both PEM.
pub fn service_account_keys() -> Result<(String, String)> {
    let key = KeyPair::generate()?;
    Ok((key.serialize_pem(), key.public_key_pem()))
}
