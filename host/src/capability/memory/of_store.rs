//! The store as the capabilities see it.

use super::{
    BlobBytes, BlobInfo, BlobLabel, BlobSourceError, KvOwner, KvScope, Memory, MemoryError,
};
use crate::clock;
use crate::store::{Store, StoreError, kv};
use futures_util::TryStreamExt;
use futures_util::future::BoxFuture;
use tidegate_domain::exchange::UnixMs;
use tidegate_domain::id::AccountId;

impl From<StoreError> for MemoryError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}

fn scope_of(scope: KvScope) -> kv::KvScope {
    match scope.owner {
        KvOwner::Connection(id) => kv::KvScope::Connection(scope.account, id),
        KvOwner::Inbox(id) => kv::KvScope::Inbox(scope.account, id),
    }
}

impl Memory for Store {
    fn kv_known(&self, scope: KvScope, key: &str, now: UnixMs) -> Option<Option<Vec<u8>>> {
        Self::kv_known(self, scope_of(scope), key, now)
    }

    fn kv_get(
        &self,
        scope: KvScope,
        key: String,
        now: UnixMs,
    ) -> BoxFuture<'_, Result<Option<Vec<u8>>, MemoryError>> {
        Box::pin(async move { Ok(Self::kv_get(self, scope_of(scope), &key, now).await?) })
    }

    fn kv_used(&self, scope: KvScope, now: UnixMs) -> BoxFuture<'_, Result<u64, MemoryError>> {
        Box::pin(async move { Ok(Self::kv_used(self, scope_of(scope), now).await?) })
    }

    fn blob_stat(
        &self,
        account: AccountId,
        id: String,
    ) -> BoxFuture<'_, Result<Option<BlobInfo>, MemoryError>> {
        Box::pin(async move {
            let info = self.blob_info(account, &id).await?;
            Ok(info.map(|info| BlobInfo {
                id,
                size: info.size,
                content_type: info.content_type,
                name: info.name,
            }))
        })
    }

    fn blob_read(
        &self,
        account: AccountId,
        id: String,
        offset: u64,
        len: u32,
    ) -> BoxFuture<'_, Result<Option<Vec<u8>>, MemoryError>> {
        Box::pin(async move {
            if self.blob_info(account, &id).await?.is_none() {
                return Ok(None);
            }
            Ok(self.get_content(&id, offset, u64::from(len)).await?)
        })
    }

    fn blob_write(
        &self,
        account: AccountId,
        label: BlobLabel,
        bytes: BlobBytes,
    ) -> BoxFuture<'_, Result<BlobInfo, MemoryError>> {
        Box::pin(async move {
            let bytes: Vec<u8> = bytes
                .try_fold(Vec::new(), |mut all, chunk| async move {
                    all.extend_from_slice(&chunk);
                    Ok::<_, BlobSourceError>(all)
                })
                .await?;
            let size = bytes.len() as u64;
            let BlobLabel { name, content_type } = label;
            let id = self
                .put_blob(account, name.clone(), content_type.clone(), bytes, clock::now())
                .await?;
            Ok(BlobInfo { id, size, content_type, name })
        })
    }
}
