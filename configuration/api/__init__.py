"""The REST API of versions, activations and the audit trail: /api/v1/configuration/."""
