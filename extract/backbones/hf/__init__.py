"""Networks of transformers, by repository or folder: `hf:ORG/NAME`, `hf:/path/to/folder`."""
