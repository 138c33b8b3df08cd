/* SPDX-License-Identifier: Apache-2.0 */
/* Models as a whole: making and freeing them, their turns, and what tests ask and set. */
#include "tests/ixgbe_model/private.h"

#include <errno.h>
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* All open models. Changed by the main thread alone; the driver's waits walk it from any thread. */
static LIST_HEAD(, ixm) models = LIST_HEAD_INITIALIZER(models);
static pthread_mutex_t models_lock = PTHREAD_MUTEX_INITIALIZER;

static int memory_make(struct ixm *m)
{
	void *bar = mmap(NULL, IXM_BAR_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	m->bar = bar == MAP_FAILED ? NULL : bar;
	m->send = malloc(IXM_SEND_BYTES_MAX + 64);
	m->piece = malloc(IXM_FRAME_BYTES_MAX + 64);
	if (!m->bar || !m->send || !m->piece)
		return -ENOMEM;
	return ixm_fifo_init(&m->fifo, m->part->packet_buffer_bytes);
}

static void memory_free(struct ixm *m)
{
	ixm_fifo_free(&m->fifo);
	free(m->send);
	free(m->piece);
	if (m->bar)
		munmap(m->bar, IXM_BAR_BYTES);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

static bool turn_all(void)
{
	struct ixm *m;
	bool moved = false;

	pthread_mutex_lock(&models_lock);
	LIST_FOREACH(m, &models, all)
	moved |= ixm_turn(m);
	pthread_mutex_unlock(&models_lock);
	return moved;
}

bool ixm_wait(void)
{
	pthread_mutex_lock(&models_lock);
	bool any = !LIST_EMPTY(&models);
	pthread_mutex_unlock(&models_lock);
	if (any)
		turn_all();
	return any;
}

/* The base driver's waits come by way of wrap.c, those of the rest of it by this pointer of EAL's. */
static void delay(unsigned us)
{
	if (!ixm_wait())
		rte_delay_us_block(us);
}

static void list_add(struct ixm *m)
{
	pthread_mutex_lock(&models_lock);
	LIST_INSERT_HEAD(&models, m, all);
	pthread_mutex_unlock(&models_lock);
	rte_delay_us_callback_register(delay);
}

static void list_remove(struct ixm *m)
{
	pthread_mutex_lock(&models_lock);
	LIST_REMOVE(m, all);
	bool empty = LIST_EMPTY(&models);
	pthread_mutex_unlock(&models_lock);
	if (empty)
		rte_delay_us_callback_register(rte_delay_us_block);
}

int ixm_open(const struct ixm_config *config, struct ixm **out, char *error, size_t error_bytes)
{
	struct ixm *m = calloc(1, sizeof(*m));

	*out = NULL;
	if (!m || pthread_mutex_init(&m->lock, NULL)) {
		free(m);
		return -ENOMEM;
	}
	m->part = ixm_part(config->part);
	m->interrupt_fd = -1;
	m->interrupts = config->interrupts;
	memcpy(m->mac, config->mac, sizeof(m->mac));
	m->host.config = config->host;
	m->host.config.queues = config->host.queues ? config->host.queues : 1;
	m->host.config.mtu = config->host.mtu ? config->host.mtu : 1500;
	m->faults.pf_silent = config->host.silent;
	if (!config->host.mac_unset)
		memcpy(m->host.mac, config->mac, sizeof(m->host.mac));
	int rc = memory_make(m);
	if (rc == 0)
		rc = ixm_dma_start(m);
	if (rc) {
		memory_free(m);
		return rc;
	}
	ixm_eeprom_fill(m, config->eeprom_broken);
	ixm_power_on(m);
	list_add(m);
	rc = ixm_device_probe(m, config, error, error_bytes);
	if (rc) {
		ixm_close(m);
		return rc;
	}
	*out = m;
	return 0;
}

void ixm_close(struct ixm *m)
{
	if (!m)
		return;
	ixm_device_remove(m);
	ixm_thread_stop(m);
	ixm_wire_to(m, NULL, NULL);
	list_remove(m);
	memory_free(m);
}

bool ixm_turn(struct ixm *m)
{
	pthread_mutex_lock(&m->lock);
	m->count.turns++;
	ixm_control_turn(m);
	bool moved = ixm_tx_turn(m);
	moved |= ixm_rx_turn(m);
	pthread_mutex_unlock(&m->lock);
	return moved;
}

void ixm_settle(void)
{
	while (turn_all())
		;
}

struct ixm *ixm_of_port(uint16_t port)
{
	char name[RTE_ETH_NAME_MAX_LEN];
	struct ixm *m;

	if (rte_eth_dev_get_name_by_port(port, name))
		return NULL;
	pthread_mutex_lock(&models_lock);
	LIST_FOREACH(m, &models, all)
	if (!strcmp(m->pci.name, name))
		break;
	pthread_mutex_unlock(&models_lock);
	return m;
}

void ixm_faults_set(struct ixm *m, const struct ixm_faults *faults)
{
	pthread_mutex_lock(&m->lock);
	m->faults.tx_stuck = faults->tx_stuck;
	m->faults.rx_stuck = faults->rx_stuck;
	m->faults.rx_status_or = faults->rx_status_or;
	m->faults.rx_length = faults->rx_length;
	m->faults.pf_silent = faults->pf_silent;
	m->faults.pf_mtu = faults->pf_mtu;
	/* The peer looks at these, too. */
	__atomic_store_n(&m->faults.link_down, faults->link_down, __ATOMIC_RELAXED);
	__atomic_store_n(&m->faults.pf_down, faults->pf_down, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&m->lock);
}

void ixm_counters(struct ixm *m, struct ixm_counters *out)
{
	pthread_mutex_lock(&m->lock);
	*out = m->count;
	out->rx_overflow = ixm_fifo_lost(&m->fifo);
	pthread_mutex_unlock(&m->lock);
}

void ixm_dma_fault(struct ixm *m, struct ixm_dma_fault *out)
{
	pthread_mutex_lock(&m->lock);
	*out = m->dma.fault;
	pthread_mutex_unlock(&m->lock);
}

void ixm_dma_watch_set(struct ixm *m, ixm_dma_watch watch, void *context)
{
	pthread_mutex_lock(&m->lock);
	m->dma.watch = watch;
	m->dma.watch_context = context;
	pthread_mutex_unlock(&m->lock);
}
