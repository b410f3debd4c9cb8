use super::*;

#[tokio::test]
async fn a_taken_port_is_no_error() {
    let first = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    assert!(bind(first.local_addr().unwrap()).await.is_none());
}
