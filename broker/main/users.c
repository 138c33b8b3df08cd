/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/main/instance.h"

#include <stdlib.h>

struct auth_user *instance_users(const struct config *c)
{
	struct auth_user *users = calloc(c->user_count ? c->user_count : 1, sizeof(*users));

	for (uint32_t i = 0; users && i < c->user_count; i++) {
		const struct config_user *u = &c->users[i];
		users[i] = (struct auth_user){
			.name = u->name,
			.password = u->password_hash[0] ? NULL : u->password,
			.hash = u->password_hash[0] ? u->password_hash : NULL,
		};
	}
	return users;
}

struct access_permission *instance_permissions(const struct config *c)
{
	struct access_permission *all = calloc(c->permission_count ? c->permission_count : 1, sizeof(*all));

	for (uint32_t i = 0; all && i < c->permission_count; i++) {
		const struct config_permission *p = &c->permissions[i];
		all[i] = (struct access_permission){
			.user = p->user, .vhost = p->vhost, .pattern = {p->configure, p->write, p->read}};
	}
	return all;
}
