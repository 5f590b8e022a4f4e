"""What was live, what went live and who did what are held unchangeable by the database."""

from __future__ import annotations

from django.db import migrations, models
from django.db.models import Q

VERSIONS = """
CREATE FUNCTION payflow_keep_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status = 'draft' AND OLD.activated_at IS NULL THEN
        RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'version % v% was active: it is kept', OLD.name, OLD.number
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.status = 'draft' OR NEW.activated_at IS NULL
        OR (NEW.id, NEW.kind, NEW.name, NEW.number, NEW.document, NEW.text, NEW.checksum,
            NEW.origin, NEW.note, NEW.author_id, NEW.created_at)
        IS DISTINCT FROM
           (OLD.id, OLD.kind, OLD.name, OLD.number, OLD.document, OLD.text, OLD.checksum,
            OLD.origin, OLD.note, OLD.author_id, OLD.created_at)
    THEN
        RAISE EXCEPTION 'version % v% was active: make a new draft from it', OLD.name, OLD.number
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER configuration_versions_keep BEFORE UPDATE OR DELETE ON configuration_versions
    FOR EACH ROW EXECUTE FUNCTION payflow_keep_version();

CREATE FUNCTION payflow_keep_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% % is kept as it is', TG_TABLE_NAME, OLD.id
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER configuration_activations_keep BEFORE UPDATE OR DELETE ON configuration_activations
    FOR EACH ROW EXECUTE FUNCTION payflow_keep_row();
CREATE TRIGGER configuration_bundles_keep BEFORE UPDATE OR DELETE ON configuration_bundles
    FOR EACH ROW EXECUTE FUNCTION payflow_keep_row();

CREATE FUNCTION payflow_keep_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- the one change there is: a discarded draft is no longer there to link to
    IF TG_OP = 'UPDATE' AND NEW.version_id IS NULL
        AND (NEW.id, NEW.at, NEW.actor_id, NEW.action, NEW.target, NEW.details)
        IS NOT DISTINCT FROM
            (OLD.id, OLD.at, OLD.actor_id, OLD.action, OLD.target, OLD.details)
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'audit entry % is kept as it is', OLD.id USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER audit_log_keep BEFORE UPDATE OR DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION payflow_keep_audit();
"""
FREE = """
DROP TRIGGER audit_log_keep ON audit_log;
DROP TRIGGER configuration_bundles_keep ON configuration_bundles;
DROP TRIGGER configuration_activations_keep ON configuration_activations;
DROP TRIGGER configuration_versions_keep ON configuration_versions;
DROP FUNCTION payflow_keep_audit();
DROP FUNCTION payflow_keep_row();
DROP FUNCTION payflow_keep_version();
"""


class Migration(migrations.Migration):
    dependencies = [("configuration", "0003_versioned_configuration")]

    operations = [
        migrations.AddConstraint(
            model_name="configurationversion",
            constraint=models.CheckConstraint(
                condition=~Q(status="active") | Q(problems=[]),
                name="configuration_versions_active_is_valid",
            ),
        ),
        migrations.RunSQL(VERSIONS, FREE),
    ]
